"""List the images below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bus_monai.errors import UserError
from bus_monai.io.image import NIFTI_SUFFIXES, RASTER_SUFFIXES
from bus_monai.io.opened import DICOM_SUFFIXES, HEAD_BYTES, SpecialFileError, kind_of, open_regular, open_source


def list_sources(folder: Path) -> list[tuple[Path, int]]:
    """List the images below ``folder``, sorted, one entry per frame; or those of one file.

    DICOM objects that are no images (reports, segmentations) are left out, as is what :func:`find_sources` leaves out.
    """
    sources: list[tuple[Path, int]] = []
    for path in find_sources(folder):
        if not path.is_file():
            continue
        sources += [(path, frame) for frame in range(_count_frames(path))]
    return sources


def find_sources(source: Path, *, leave_out: Path | None = None) -> Iterator[Path]:
    """Yield the image files below a folder in the order of their paths, or the file itself, without reading ahead.

    Masks (``*_mask*``), hidden files and files of other kinds are left out. A broken file whose name promises an image
    comes too, as does what cannot be opened, a link that leads in a circle, and a pipe, device or socket, which is not
    opened, so that nothing is lost without a word.

    Args:
        source: a folder, whose links to other folders are followed, or a file.
        leave_out: a folder not to search.
    """
    if source.is_dir():
        yield from _walk(source, leave_out.resolve() if leave_out else None, {source.resolve()})
    elif _may_be_image(source):
        yield source


def _walk(folder: Path, leave_out: Path | None, above: set[Path]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield folder
        return
    for path in entries:
        if path.is_dir():
            real = path.resolve()
            if real in above:
                yield path
            elif real != leave_out:
                yield from _walk(path, leave_out, above | {real})
        elif not path.name.startswith(".") and _may_be_image(path):
            yield path


def _may_be_image(path: Path) -> bool:
    if "_mask" in path.stem:
        return False
    # a name that promises an image need not be looked into
    if path.name.lower().endswith(RASTER_SUFFIXES + NIFTI_SUFFIXES) or path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with open_regular(path) as file:
            return kind_of(file.read(HEAD_BYTES), path) is not None
    except (OSError, SpecialFileError):
        return True


def _count_frames(path: Path) -> int:
    from bus_monai.dicom.read import count_frames

    try:
        with open_source(path) as source:
            return count_frames(source) if source.kind == "dicom" else 1
    except UserError:
        return 1  # reading it will say what is wrong
