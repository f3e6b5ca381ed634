"""What every reader asks of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bus_monai.errors import UserError
from bus_monai.source import RASTER_SUFFIXES


def require_folder(folder: str | Path) -> Path:
    """Return ``folder`` as a path.

    Raises:
        UserError: it is a file, such as the archive that was downloaded, or does not exist.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise UserError(f"'{folder}' is a file: unpack it and give the folder.")
    if not folder.is_dir():
        raise UserError(f"'{folder}' does not exist: give the folder of the unpacked data set.")
    return folder


def require_files(files: Iterable[Path], table: Path) -> None:
    """Check that all ``files`` that ``table`` lists, in its folder or below, are there.

    Raises:
        UserError: some are missing; the message says how many, and names the first one.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        first = missing[0].relative_to(table.parent).as_posix()
        raise UserError(
            f"'{table}' lists files that are missing ({len(missing)}, the first is '{first}'): complete the download."
        )


def require_pairs(images: Mapping[str, Path], masks: Mapping[str, Path], folder: Path) -> None:
    """Check that images and masks have the same keys.

    Raises:
        UserError: there are images without masks, or masks without images; the first one is named.
    """
    for kind, files, other, others in (("image", images, "mask", masks), ("mask", masks, "image", images)):
        lone = [files[key].name for key in sorted(files.keys() - others.keys())]
        if lone:
            raise UserError(
                f"'{folder}' holds {kind}s without {other} ({len(lone)}, the first is '{lone[0]}'): add what is "
                f"missing or remove these {kind}s."
            )


def raster_files(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files of ``folder`` by name, but hidden ones; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES and not path.name.startswith(".")
    )
