"""The images that a DICOMDIR lists, as discs have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom

from bus_monai.errors import UserError, reading


def listed_images(path: Path) -> Iterator[Path]:
    """Yield the paths of the images that a DICOMDIR lists, below its folder; those that are missing come too.

    Raises:
        UserError: it cannot be read, lists no image, or one outside of its folder.
    """
    with reading(path, "a DICOMDIR", errors=(Exception,), remedy="give its folder"):
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
        listed = [_parts(record.ReferencedFileID) for record in records if record.get("ReferencedFileID")]
        kinds = [str(record.get("DirectoryRecordType")) for record in records if record.get("ReferencedFileID")]
    images = [parts for parts, kind in zip(listed, kinds, strict=True) if kind in ("IMAGE", "PRIVATE")]
    if not images:
        raise UserError(f"'{path}' lists no image: give its folder.", path=path)
    for parts in images:
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
            raise UserError(f"'{path}' lists a file outside of its folder: give its folder.", path=path)
        yield _present(path.parent, parts)


def _parts(value: Any) -> list[str]:
    return [str(part).strip() for part in ([value] if isinstance(value, str) else value)]


def _present(folder: Path, parts: list[str]) -> Path:
    """Return the path as it is spelled on the disk: systems differ in upper and lower case."""
    for part in parts:
        path = folder / part
        if not path.exists() and folder.is_dir():
            same = (other for other in sorted(folder.iterdir()) if other.name.casefold() == part.casefold())
            path = next(same, path)
        folder = path
    return folder
