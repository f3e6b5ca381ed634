"""What there is to segment in a folder, and where each mask goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError
from bus_monai.inference.outputs import frame_mark
from bus_monai.source import image_stem, source_kind
from bus_monai.source_listing import list_sources


def inference_items(folder: str | Path, output: str | Path) -> list[dict[str, Any]]:
    """List the images below ``folder`` (PNG, JPEG, NIfTI, DICOM), one item a frame.

    Args:
        folder: searched with all its subfolders; ``*_mask*.png`` beside images are not images. Or a file.
        output: the masks' folder, a mirror of ``folder``.

    Returns:
        Items with ``image`` and ``source`` (path), ``frame`` (from 0) and ``output`` (path of the mask):
        ``a/b.jpg`` gives ``a/b_mask.png``, ``a/b.nii.gz`` gives ``a/b_mask.nii.gz``, the third frame of a cine
        ``a/c.dcm`` gives ``a/c_frame002_mask.png``. Two sources of one stem keep their suffix in the name.

    Raises:
        UserError: there is no such folder or file, or nothing in it can be read.
    """
    folder, output = Path(folder), Path(output)
    if not folder.exists():
        raise UserError(f"'{folder}' does not exist: give a folder of PNG, JPEG, NIfTI or DICOM files.")
    sources = list_sources(folder)
    if not sources:
        raise UserError(f"'{folder}' holds no PNG, JPEG, NIfTI or DICOM file: give another folder.")
    root = _root(folder)
    frames = Counter(path for path, _ in sources)
    stems = Counter(path.with_name(image_stem(path.name)) for path in frames)
    items = []
    for path, frame in sources:
        stem = path.with_name(image_stem(path.name))
        name = path.name.replace(".", "_") if stems[stem] > 1 else stem.name
        if frames[path] > 1:
            name += frame_mark(frame, frames[path])
        suffix = "_mask.nii.gz" if source_kind(path) == "nifti" else "_mask.png"
        target = output / path.parent.relative_to(root) / (name + suffix)
        items.append({"image": str(path), "source": str(path), "frame": frame, "output": str(target)})
    return items


def item_names(items: Sequence[Mapping[str, Any]], folder: str | Path) -> list[str]:
    """Return what tables call the items of a folder or file: its path below it, of a cine with ``#`` and the frame."""
    root = _root(Path(folder))
    frames = Counter(item["source"] for item in items)
    return [
        Path(item["source"]).relative_to(root).as_posix() + (f"#{item['frame']}" if frames[item["source"]] > 1 else "")
        for item in items
    ]


def _root(folder: Path) -> Path:
    return folder.parent if folder.is_file() else folder
