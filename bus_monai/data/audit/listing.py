"""The images of a folder with the masks that belong to each, and findings about them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus_monai.data.datalist import DATALIST_FILE, DIAGNOSES, Diagnosis, read_datalist
from bus_monai.data.readers.folder import require_folder
from bus_monai.errors import UserError
from bus_monai.io.image import RASTER_SUFFIXES
from bus_monai.sources.listing import list_sources

MASK_FOLDERS = ("mask", "masks", "gt")
_MASK = re.compile(r"(?P<image>.+?)_(mask.*|(tumor|other)_?\d*)", re.IGNORECASE)

FINDING_MEANINGS: dict[str, str] = {
    "unreadable": "Files that cannot be read.",
    "duplicates_across_classes": "Copies of one image that are filed under different classes.",
    "duplicates_across_groups": "Copies of one image in different groups: they may leak from one section into another.",
    "similar": "No copies, but probably frames of one scene: keep them on one side of a split.",
    "missing_mask": "Images without a mask, in a folder where others have one.",
    "mask_without_image": "Masks that belong to no image.",
    "mask_size": "Masks of another size than their image.",
    "odd_mask": "Masks that are the whole image, black on white, or full of grays.",
    "empty_mask": "Masks without lesion, unless the image is filed as normal.",
    "tiny_lesion": "Lesions below 0.1 % of the image, often specks beside the true one.",
    "several_lesions": "Images with more than one lesion.",
    "text": "Text burned into the image (found by rule, not sure).",
    "calipers": "Caliper marks burned into the image (found by rule, not sure).",
    "colour": "Saturated colors, such as Doppler.",
    "letterbox": "Black margins.",
}
"""What an audit finds, by kind, in the order of its report."""


@dataclass(frozen=True)
class Finding:
    """A finding about one or several files.

    Args:
        kind: a key of :data:`FINDING_MEANINGS`.
        paths: the files it is about, one or two.
        detail: figures or reason in words.
    """

    kind: str
    paths: tuple[Path, ...]
    detail: str


@dataclass(frozen=True)
class ListedImage:
    """An image of a folder with its masks, diagnosis, group and section.

    Args:
        path: of the image.
        masks: that belong to it.
        diagnosis: by the name of a folder above it, or by the datalist.
        group: by the datalist, where there is one.
        section: by the datalist, where there is one.
    """

    path: Path
    masks: tuple[Path, ...]
    diagnosis: Diagnosis
    group: str | None = None
    section: str | None = None


def list_images(folder: Path) -> tuple[list[ListedImage], list[Path]]:
    """List the images of a folder, sorted, and the masks that belong to none of them.

    Where there is a ``datalist.json`` it says what is there. Else an image is any PNG, JPEG, NIfTI or DICOM file (of
    several frames the first), and a mask is a PNG or JPEG whose stem goes on after the image's with ``_mask...``,
    ``_tumor`` or ``_other1``, in the image's folder; or which lies below a folder called masks, mask or GT, with or
    without such an ending, beside the folder of its image.

    Raises:
        UserError: the folder is missing, is a file, or holds no image; or its datalist is wrong.
    """
    require_folder(folder)
    if (folder / DATALIST_FILE).is_file():
        # the datalist has resolved its paths, against which links in the folder's own path must not stand out
        cases = [(name, case) for name, cases in read_datalist(folder).sections() for case in cases]
        listed = [ListedImage(case.image, case.masks, case.diagnosis, case.group, name) for name, case in cases]
        return sorted(listed, key=lambda image: image.path), []
    images = [path for path, frame in list_sources(folder) if frame == 0 and not _is_mask(path, folder)]
    if not images:
        raise UserError(f"'{folder}' holds no image: give a folder of PNG, JPEG, NIfTI or DICOM files.")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    masks, strays = _assign(
        (path for path in files if path.suffix.lower() in RASTER_SUFFIXES and _is_mask(path, folder)), images, folder
    )
    return [ListedImage(path, tuple(masks[path]), _diagnosis(path, folder)) for path in images], strays


def _is_mask(path: Path, folder: Path) -> bool:
    return _MASK.fullmatch(path.stem) is not None or _mask_folder(path, folder) is not None


def _mask_folder(path: Path, folder: Path) -> Path | None:
    """Return the innermost mask folder that ``path`` lies in."""
    above = path.parents[: len(path.relative_to(folder).parts) - 1]
    return next((parent for parent in above if parent.name.lower() in MASK_FOLDERS), None)


def _assign(masks: Iterable[Path], images: list[Path], folder: Path) -> tuple[Mapping[Path, list[Path]], list[Path]]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    assigned: dict[Path, list[Path]] = defaultdict(list)
    strays = []
    for mask in masks:
        match = _MASK.fullmatch(mask.stem)
        candidates = by_stem.get(mask.stem, []) + (by_stem.get(match["image"], []) if match else [])
        holder = _mask_folder(mask, folder)
        if holder is None:
            candidates = [image for image in candidates if image.parent == mask.parent]
        else:
            candidates = [image for image in candidates if holder.parent in image.parents]
        if candidates:
            tail = mask.parent.relative_to(holder).parts if holder else ()
            # masks/benign/1.png goes with images/benign/1.png rather than with images/malignant/1.png
            best = max(candidates, key=lambda image: image.parent.parts[len(image.parent.parts) - len(tail) :] == tail)
            assigned[best].append(mask)
        else:
            strays.append(mask)
    return assigned, strays


def _diagnosis(path: Path, folder: Path) -> Diagnosis:
    names = [part.lower() for part in path.relative_to(folder).parts[:-1]]
    return next((name for name in DIAGNOSES if name in names), "unknown")
