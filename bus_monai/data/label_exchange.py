"""Labels of a label folder in the formats of others, and masks of others as labels to correct."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai import __version__
from bus_monai.data.datalist import DIAGNOSES
from bus_monai.data.dataset import prepare_dataset
from bus_monai.data.readers.folder import IMAGE_FOLDER
from bus_monai.data.readers.own_images import (
    LABELS_FOLDER,
    ORIGINAL_TAG,
    LabeledFrame,
    LabeledImage,
    file_id,
    labeled_frames,
    list_images,
    list_labels,
    write_gray,
)
from bus_monai.errors import UserError, check_choice, writing
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import label_components
from bus_monai.io.atomic import plain_cell, whole_folder, write_json, write_table
from bus_monai.io.image import NIFTI_SUFFIXES, RASTER_SUFFIXES, image_stem, read_mask, read_mask_values
from bus_monai.io.mask_content import MAX_NUMBER
from bus_monai.io.masks import (
    read_labels,
    usual_suffix,
    write_labels,
    write_nifti_image,
    write_nifti_mask,
    write_png_mask,
)
from bus_monai.io.opened import open_source, source_kind
from bus_monai.io.ours import MARK
from bus_monai.sources.read import image_shape, read_all_frames

FIELDS_TABLE = "fields.csv"
"""One row per image: its name and the fields of the case."""
COCO_FILE = "annotations.json"
LABEL_FOLDER = "labels"


def export_labels(folder: Path, out: Path, layout: str) -> int:
    """Write the final labels of a label folder in another format, with ``fields.csv``; return how many.

    Args:
        folder: of the images and labels; only read.
        out: a new folder, which is whole or not there.
        layout: a key of :data:`LAYOUTS`.

    Raises:
        UserError: the format does not exist or cannot hold one of the labels, ``out`` exists or lies in ``folder``,
            or a file cannot be read.
    """
    check_choice("--format", layout, LAYOUTS)
    if out.exists() or out.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"'{out}' exists already or lies in '{folder}': give --out the name of a new folder elsewhere.")
    labels = list_labels(folder)
    names = sorted({name for one in labels for name in one.fields})
    rows = [[file_id(one.name), one.name, *(one.fields.get(name, "") for name in names)] for one in labels]
    with writing(out, option="--out"), whole_folder(out, last=FIELDS_TABLE) as partial:
        LAYOUTS[layout](folder, labels, partial)
        write_table(partial / FIELDS_TABLE, ["id", "image", *names], (map(plain_cell, row) for row in rows))
    return len(labels)


def _frames(labels: Sequence[LabeledImage]) -> Iterator[tuple[LabeledImage, LabeledFrame]]:
    return ((one, frame) for one in labels for frame in labeled_frames(one))


def _write_picture(one: LabeledImage, frame: LabeledFrame, path: Path) -> None:
    """Copy a PNG as it is; write what is none as gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if one.image.suffix.lower() == ".png" and source_kind(one.image) == "raster":
        shutil.copyfile(one.image, path)
    else:
        write_gray(frame.pixels, path)


def _write_busi(folder: Path, labels: Sequence[LabeledImage], out: Path) -> None:
    """Write ``benign/benign (1).png`` with ``benign (1)_mask.png``, ``benign (1)_mask_1.png``, ..., one per lesion."""
    counts = dict.fromkeys(DIAGNOSES, 0)
    for one, frame in _frames(labels):
        if frame.diagnosis not in counts:
            raise UserError(
                f"'{one.name}' has a lesion and no diagnosis, which folders of BUSI are named by: fill in the field "
                "'diagnosis', or choose another --format.",
                key="diagnosis",
            )
        counts[frame.diagnosis] += 1
        stem = out / frame.diagnosis / f"{frame.diagnosis} ({counts[frame.diagnosis]})"
        _write_picture(one, frame, stem.with_name(f"{stem.name}.png"))
        for place, number in enumerate(_numbers(frame.labels) or [1]):
            write_png_mask(
                frame.labels == number, stem.with_name(f"{stem.name}_mask{(place and f'_{place}') or ''}.png")
            )


def _numbers(labels: NDArray[np.uint8]) -> list[int]:
    return [int(number) for number in np.unique(labels) if number]


def _write_coco(folder: Path, labels: Sequence[LabeledImage], out: Path) -> None:
    """Write ``images/`` and ``annotations.json`` of COCO, https://cocodataset.org/#format-data.

    An annotation is a lesion, as run lengths, which lose nothing and hold holes; polygons would not.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for one, frame in _frames(labels):
        _write_picture(one, frame, out / IMAGE_FOLDER / f"{frame.id}.png")
        height, width = frame.labels.shape
        image = {"id": len(images) + 1, "file_name": f"{frame.id}.png", "width": width, "height": height}
        images.append(image | {"fields": one.fields})
        for number in _numbers(frame.labels):
            inside = frame.labels == number
            box = Box.from_mask(inside)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "segmentation": {"size": [height, width], "counts": run_lengths(inside)},
                    "area": int(np.count_nonzero(inside)),
                    "bbox": [box.left, box.top, box.width, box.height],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "lesion"}]
    info = {"description": f"labels of {MARK} {__version__}"}
    write_json(out / COCO_FILE, {"info": info, "images": images, "annotations": annotations, "categories": categories})


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of a mask (H, W), column by column, the first of what is not in it.

    Example:
        >>> run_lengths(np.array([[False, True], [True, True]])), run_lengths(np.array([[True, False]]))
        ([1, 3], [0, 1, 1])
    """
    values = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(values[1:] != values[:-1])
    return [int(length) for length in np.diff([0, *changes, mask.size])]


def _write_nifti(folder: Path, labels: Sequence[LabeledImage], out: Path) -> None:
    """Write ``images/ID.nii.gz`` and ``labels/ID.nii.gz``, cines with all their frames, in one geometry each."""
    for name in (IMAGE_FOLDER, LABEL_FOLDER):
        (out / name).mkdir()
    for one in labels:
        mask, drawn = out / LABEL_FOLDER / f"{file_id(one.name)}.nii.gz", list(one.read())
        if source_kind(one.image) == "nifti":
            suffix = next(end for end in reversed(NIFTI_SUFFIXES) if one.image.name.lower().endswith(end))
            shutil.copyfile(one.image, out / IMAGE_FOLDER / f"{file_id(one.name)}{suffix}")
            write_nifti_mask(drawn, one.image, mask)
        else:
            frames = list(read_all_frames(one.image))
            spacing = frames[0].spacing_mm
            write_nifti_image([frame.pixels for frame in frames], out / IMAGE_FOLDER / mask.name, spacing_mm=spacing)
            write_nifti_mask(drawn, None, mask, spacing_mm=spacing)


def _write_dicom(folder: Path, labels: Sequence[LabeledImage], out: Path) -> None:
    """Write ``ID_seg.dcm`` of each DICOM image that shows a lesion, as ``bus-monai segment`` does."""
    from bus_monai.dicom.segmentation import iterate_segmentations
    from bus_monai.dicom.source_header import Algorithm, write_dicom

    for one in labels:
        with open_source(one.image) as source:
            if source.kind != "dicom":
                raise UserError(f"'{one.name}' is no DICOM file, which a segmentation refers to: use --format nifti.")
            saved = one.info.get("ts")
            created = datetime.fromtimestamp(saved if isinstance(saved, int) else 0, timezone.utc)
            by = Algorithm("bus-monai label", __version__, "none", is_manual=True)
            for made in iterate_segmentations(source.header, list(one.read()), by, creation=created):
                mark = "" if made.InstanceNumber == 1 else f"_{made.InstanceNumber}"
                write_dicom(made, out / f"{file_id(one.name)}{mark}_seg.dcm")


def _write_datalist(folder: Path, labels: Sequence[LabeledImage], out: Path) -> None:
    """Write what ``bus-monai data prepare label_folder`` does."""
    prepare_dataset("label_folder", folder, out, protocol="multi_encoder")


LAYOUTS: dict[str, Callable[[Path, Sequence[LabeledImage], Path], None]] = {
    "busi": _write_busi,
    "coco": _write_coco,
    "nifti": _write_nifti,
    "dicom-seg": _write_dicom,
    "datalist": _write_datalist,
}

_MASK_NAME = re.compile(r"(?P<name>.+?)(_mask(_\d+)?)?")


def import_masks(masks: Path, folder: Path) -> tuple[int, list[str]]:
    """Put masks of the images of a folder where ``bus-monai label`` offers them to be corrected.

    A mask is called like its image, with ``_mask``, ``_mask_1``, ... behind or without, below ``masks`` as the image is
    below ``folder``. Each file of several is a lesion; of a single one each number is, or each connected part where
    there is one number alone. What is there already stays.

    Args:
        masks: folder of PNG, JPEG or NIfTI files.
        folder: of the images.

    Returns:
        How many images got labels, and a sentence for each mask that cannot be read or fits no image.

    Raises:
        UserError: two images differ in suffix alone.
    """
    images = list_images(folder)
    own = set(images.values())
    files: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for path in sorted(masks.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(masks).parts)
        if path in own or hidden or not path.name.lower().endswith((*RASTER_SUFFIXES, *NIFTI_SUFFIXES)):
            continue
        stem = path.relative_to(masks).with_name(image_stem(path.name)).as_posix()
        match = _MASK_NAME.fullmatch(stem)
        name = stem if stem in images or match is None else match["name"]
        if name in images:
            files[name].append(path)
        elif folder / LABELS_FOLDER not in path.parents:
            problems.append(f"'{path}' is called like no image of '{folder}': name it after its image.")
    count = 0
    for name, paths in files.items():
        image = images[name]
        shape = image_shape(image)
        target = folder / LABELS_FOLDER / ORIGINAL_TAG / f"{name}{usual_suffix(shape[0], image)}"
        if target.exists():
            continue
        try:
            labels = _lesions(paths, shape)
        except UserError as error:
            problems.append(str(error))
            continue
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_labels(list(labels), image, target)
        count += 1
    return count, problems


def _lesions(paths: Sequence[Path], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the labels (F, H, W) that the masks of an image say."""
    if len(paths) > 1:
        labels = np.zeros(shape, np.uint8)
        for number, path in enumerate(paths, start=1):
            labels[_read_mask(path, shape) > 0] = min(number, 255)
        return labels
    labels = _read_mask(paths[0], shape)
    if len(_numbers(labels)) != 1 or shape[0] > 1:
        return labels
    components, _ = label_components(labels[0] > 0)
    return np.minimum(components, 255).astype(np.uint8)[None]


def _read_mask(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    if source_kind(path) == "nifti":
        return read_labels(path, shape)
    mask = read_mask(path, shape[1:])
    values, coarseness = read_mask_values(path)
    numbered = not coarseness and len(np.unique(values)) > 2 and values.max() <= MAX_NUMBER
    return np.where(mask, values if numbered else 1, 0).astype(np.uint8)[None]
