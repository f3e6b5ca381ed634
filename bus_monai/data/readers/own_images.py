"""Readers of people's own images: with masks in folders, in MONAI's datalist, and with the labels of ``label``."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import Case, Diagnosis, posix_path, to_diagnosis
from bus_monai.data.near_duplicates import join_groups, with_groups
from bus_monai.data.readers.folder import (
    case_id,
    raster_files,
    read_csv_table,
    require_files,
    require_folder,
    require_pairs,
)
from bus_monai.data.readers.shapes import shape_word, write_shape_table
from bus_monai.errors import UserError, reading
from bus_monai.io.atomic import atomic_file, cache_folder
from bus_monai.io.image import NIFTI_SUFFIXES, RASTER_SUFFIXES
from bus_monai.io.masks import LABEL_SUFFIXES, frame_mark, label_suffix, read_labels, write_png_mask
from bus_monai.io.opened import DICOM_SUFFIXES, hash_file, open_source
from bus_monai.io.ours import LABEL_FILES
from bus_monai.sources.listing import find_sources
from bus_monai.sources.read import image_shape, read_all_frames

DATALIST_TABLE = "dataset.json"
LISTED_SECTIONS = ("training", "validation", "test")
META_TABLE, META_COLUMNS = "meta.csv", ("file", "patient")
logger = logging.getLogger("bus_monai")
_MASK_NAME = re.compile(r"(?P<stem>.+)_mask(_\d+)?")


def is_plain_folder(folder: Path) -> bool:
    """Whether ``folder`` has ``images/`` and ``masks/``, or masks named ``*_mask.png`` or ``*_mask_1.png`` in it."""
    return _has_folders(folder) or any(_MASK_NAME.fullmatch(path.stem) for path in raster_files(folder))


def read_plain_folder(folder: str | Path) -> list[Case]:
    """Read ``images/X.png`` with ``masks/X.png``, or ``X.png`` with ``X_mask.png`` beside it; JPEG is fine as well.

    An image with several lesions has further masks ``X_mask_1.png``, ``X_mask_2.png``, ..., in either layout; one
    without lesion needs a black mask. A table ``meta.csv`` beside them, with the columns ``file`` (name of the image)
    and ``patient``, makes groups of patients, and tells diagnoses where it has a column ``pathology``; without it
    diagnoses are unknown, and groups hold near-duplicates.

    Raises:
        UserError: the folder has neither layout, images or masks lack their partner, two names give the same id, or the
            table lacks a column, an image or its patient, or names one twice.
    """
    folder = require_folder(folder)
    if not is_plain_folder(folder):
        raise UserError(
            f"'{folder}' has no images with masks: give images/ and masks/ with files of the same names, or X.png and "
            "X_mask.png side by side."
        )
    apart = _has_folders(folder)
    files = raster_files(folder / "images" if apart else folder)
    images = [path for path in files if apart or not _MASK_NAME.fullmatch(path.stem)]
    ids = _by_id({path: case_id(path.stem) for path in images})
    stems = {path.stem: path for path in ids.values()}
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in raster_files(folder / "masks") if apart else files:
        match = _MASK_NAME.fullmatch(path.stem)
        if apart and (match is None or path.stem in stems):
            masks[path.stem].append(path)
        elif match:
            masks[match["stem"]].append(path)
    require_pairs(stems, {stem: paths[0] for stem, paths in masks.items()}, folder)
    cases = [Case(id, i, tuple(masks[i.stem]), "", "unknown") for id, i in ids.items()]
    rows = _meta(folder, images)
    if not rows:
        return with_groups(cases)
    described = ((case, rows[case.image.name]) for case in cases)
    return [
        replace(case, group=f"patient_{row['patient']}", diagnosis=to_diagnosis(row.get("pathology", "")))
        for case, row in described
    ]


def _meta(folder: Path, images: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Return the rows of the table by image, none where there is no table."""
    table = folder / META_TABLE
    if not table.is_file():
        return {}
    rows: dict[str, dict[str, str]] = {}
    for row in read_csv_table(table, META_COLUMNS, remedy="correct it, or give it another name"):
        if row["file"] in rows:
            raise UserError(f"'{table}' names '{row['file']}' twice: leave one row an image.", path=table)
        rows[row["file"]] = row
    for image in images:
        if not rows.get(image.name, {}).get("patient"):
            raise UserError(f"'{table}' names no patient of '{image.name}': add the file and its patient.", path=table)
    return rows


def write_own_shapes(folder: Path, out: Path) -> None:
    """Write ``mass_shapes.csv`` into ``out`` where ``meta.csv`` of a plain folder has the column ``shape``.

    A row has one word: it does not say to which of several masks it belongs.

    Raises:
        UserError: as :func:`read_plain_folder`.
    """
    if not (folder / META_TABLE).is_file():
        return
    cases = read_plain_folder(folder)
    rows = _meta(folder, [case.image for case in cases])
    if any("shape" in row for row in rows.values()):
        shapes = [shape_word(rows[case.image.name]["shape"] if len(case.masks) == 1 else "") for case in cases]
        pairs = zip(cases, shapes, strict=True)
        write_shape_table(out, [(case.id, n, word) for case, word in pairs for n in range(1, len(case.masks) + 1)])


def _has_folders(folder: Path) -> bool:
    return bool(raster_files(folder / "images")) and (folder / "masks").is_dir()


def _by_id(ids: dict[Path, str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path, id in ids.items():
        other = found.setdefault(id, path)
        if other != path:
            raise UserError(f"'{other}' and '{path.name}' would both have the id '{id}': rename one.", path=other)
    return found


def is_monai_datalist(folder: Path) -> bool:
    """Whether ``folder`` has a ``dataset.json``."""
    return (folder / DATALIST_TABLE).is_file()


def read_monai_datalist(folder: str | Path) -> list[Case]:
    """Read ``dataset.json``: ``{"training": [{"image": PATH, "label": PATH}, ...], ...}``, PNG or JPEG.

    Its sections are not kept, since a protocol makes the split by group; items without ``label`` are left out.
    Diagnoses are unknown; groups hold near-duplicates.

    Raises:
        UserError: the file is no such list, names files of another kind or outside of the folder, or files are missing.
    """
    folder = require_folder(folder)
    table = folder / DATALIST_TABLE
    with reading(table, "JSON", errors=(ValueError,), remedy="correct it"):
        content = json.loads(table.read_text(encoding="utf-8-sig"))
    items = [item for name in LISTED_SECTIONS for item in _listed_items(content, name)]
    pairs = [(_listed_file(folder, item["image"]), _listed_file(folder, item["label"])) for item in items]
    if not pairs:
        raise UserError(f"'{table}' has no item with 'image' and 'label': add some to its section 'training'.")
    require_files([file for pair in pairs for file in pair], table)
    ids = [case_id(image.stem) for image, _ in pairs]
    twice = next((id for id in ids if ids.count(id) > 1), None)
    if twice:
        raise UserError(f"'{table}' has two images with the id '{twice}': rename one.")
    return with_groups([Case(id, i, (label,), "", "unknown") for id, (i, label) in zip(ids, pairs, strict=True)])


def _listed_items(content: Any, section: str) -> list[dict[str, Any]]:
    items = content.get(section, []) if isinstance(content, dict) else []
    return [item for item in items if isinstance(item, dict) and "image" in item and "label" in item]


def _listed_file(folder: Path, name: Any) -> Path:
    path = posix_path(folder, str(name)).resolve()
    if folder.resolve() not in path.parents:
        raise UserError(f"'{folder / DATALIST_TABLE}' refers to '{name}' outside of its folder: move the file into it.")
    if path.suffix.lower() not in RASTER_SUFFIXES:
        raise UserError(f"'{folder / DATALIST_TABLE}' refers to '{name}', which is no PNG or JPEG: convert it.")
    # as below the folder that was given, which may itself be a link
    return folder / path.relative_to(folder.resolve())


LABELS_FOLDER, FINAL_TAG, ORIGINAL_TAG = "labels", "final", "original"
"""Where MONAI Label keeps labels: those that annotators saved, and those that they are to correct."""
IMAGE_SUFFIXES = (*sorted(NIFTI_SUFFIXES, key=len, reverse=True), *RASTER_SUFFIXES, *DICOM_SUFFIXES)


def split_suffix(file: str) -> tuple[str, str]:
    """Return the name of an image and the suffix of its file; the end of a UID is no suffix.

    Example:
        >>> split_suffix("a/b.nii.gz"), split_suffix("1.2.840")
        (('a/b', '.nii.gz'), ('1.2.840', ''))
    """
    suffix = next((known for known in IMAGE_SUFFIXES if file.lower().endswith(known)), "")
    end = len(file) - len(suffix)
    return file[:end], file[end:]


@dataclass(frozen=True)
class LabeledImage:
    """An image of a label folder with its label.

    Args:
        name: of the image, its path below the folder without suffix.
        image: its file.
        label: the file of its label.
        info: what is kept with the label, from whoever wrote it.
    """

    name: str
    image: Path
    label: Path
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        """Whether it is what a model found, saved as it was: no evidence of how good a model is."""
        return self.info.get("origin") == "accepted"

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the case that somebody filled in."""
        return {
            name: value for name, value in _mapping(self.info, "fields").items() if isinstance(value, str) and value
        }

    @cached_property
    def patient(self) -> str:
        """The patient of a DICOM file, else the name of the image."""
        with open_source(self.image) as source:
            return str((source.header.get("PatientID") if source.kind == "dicom" else "") or self.name)

    @property
    def group(self) -> str:
        """The patient by a hash, else the name of the image."""
        return self.name if self.patient == self.name else f"patient_{_short_hash(self.patient)}"

    def read(self) -> NDArray[np.uint8]:
        """Return the labels (F, H, W), see :func:`~bus_monai.io.masks.read_labels`."""
        return read_labels(self.label, image_shape(self.image))


def is_label_folder(folder: Path) -> bool:
    """Whether ``folder`` holds labels that ``bus-monai label`` or MONAI Label saved."""
    return bool(_label_files(folder, FINAL_TAG))


def list_labels(folder: str | Path, tag: str = FINAL_TAG) -> list[LabeledImage]:
    """List the labels of a folder that ``bus-monai label`` or MONAI Label keeps, by the names of their images.

    Raises:
        UserError: there is no label, one has no image, two images differ in suffix alone, or the list of the folder is
            broken.
    """
    folder = require_folder(folder)
    labels = _label_files(folder, tag)
    if not labels:
        raise UserError(f"'{folder}' holds no labels in {LABELS_FOLDER}/{tag}: label its images first.", path=folder)
    images = list_images(folder)
    if lone := sorted(labels.keys() - images.keys()):
        file = labels[lone[0]]
        raise UserError(
            f"'{folder}' holds labels without image ({len(lone)}, the first is '{lone[0]}'): add the images or remove "
            "these labels.",
            path=file,
        )
    infos = _label_infos(folder, tag)
    return [LabeledImage(name, images[name], labels[name], infos.get(name, {})) for name in sorted(labels)]


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images of a label folder by name, those without a label too.

    Raises:
        UserError: two differ in suffix alone, so that a label would be of either.
    """
    found = find_sources(folder, leave_out=folder / LABELS_FOLDER)
    return _by_id({image: split_suffix(image.relative_to(folder).as_posix())[0] for image in found})


def _label_files(folder: Path, tag: str) -> dict[str, Path]:
    place = folder / LABELS_FOLDER / tag
    files = [path for path in place.rglob("*") if path.name.endswith(LABEL_SUFFIXES) and path.name[0] != "."]
    names = {path: path.relative_to(place).as_posix() for path in sorted(files) if path.is_file()}
    return {name.removesuffix(label_suffix(name)): path for path, name in names.items()}


def _label_infos(folder: Path, tag: str) -> dict[str, dict[str, Any]]:
    path = folder / LABEL_FILES[0]
    if not path.is_file():
        return {}
    with reading(path, "JSON", errors=(ValueError,), remedy="remove it, labels stay"):
        content = json.loads(path.read_text(encoding="utf-8"))
    objects = _mapping(content, "objects")
    infos = {name: _mapping(entry, "labels", tag, "info") for name, entry in objects.items()}
    return {name: info for name, info in infos.items() if info}


def _mapping(content: Any, *keys: str) -> dict[str, Any]:
    """Return what lies below keys of something that was read as JSON, empty where that is no object."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def read_label_folder(folder: str | Path) -> list[Case]:
    """Read the images of a label folder that have a final label; those without are left out.

    Of a cine every frame that shows a lesion is a case. Masks and such frames lie in the cache folder. The diagnosis is
    the field of that name; groups hold the images of a patient, as DICOM tells them, and near-duplicates.

    Raises:
        UserError: there is no label, one has no image, two images differ in suffix alone, or a file cannot be read.
    """
    labels = list_labels(folder)
    logger.warning("'%s' is read as a label folder: %d images with a label.", folder, len(labels))
    return join_groups([case for one in labels for case in label_cases(one, _cached(one))])


def _cached(one: LabeledImage) -> Path:
    folder = cache_folder() / "labels" / _short_hash(f"{one.name} {hash_file(one.image)} {hash_file(one.label)}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class LabeledFrame:
    """An image with its label, or a frame of a cine that shows a lesion.

    Args:
        id: unique within the folder, names files.
        number: of the frame, from 0; ``None`` of what is no cine.
        pixels: (H, W), gray in [0, 1].
        labels: (H, W), the number of the lesion, 0 outside.
        diagnosis: of the case, ``normal`` where there is no lesion.
    """

    id: str
    number: int | None
    pixels: NDArray[np.float32]
    labels: NDArray[np.uint8]
    diagnosis: Diagnosis


def labeled_frames(one: LabeledImage) -> Iterator[LabeledFrame]:
    """Yield an image with its label, or every frame of a cine that shows a lesion.

    Raises:
        UserError: the image or the label cannot be read.
    """
    labels = one.read()
    told = to_diagnosis(one.fields.get("diagnosis", ""))
    for number, (source, drawn) in enumerate(zip(read_all_frames(one.image), labels, strict=True)):
        diagnosis: Diagnosis = "normal" if not drawn.any() else "unknown" if told == "normal" else told
        if len(labels) == 1:
            yield LabeledFrame(file_id(one.name), None, source.pixels, drawn, diagnosis)
        elif drawn.any():
            name = one.name + frame_mark(number, len(labels))
            yield LabeledFrame(file_id(name), number, source.pixels, drawn, diagnosis)


def label_cases(one: LabeledImage, folder: Path) -> list[Case]:
    """Return the cases of a label, those of :func:`labeled_frames`.

    Args:
        one: the image and its label.
        folder: gets masks and the frames of a cine, unless it has them already.

    Raises:
        UserError: the image or the label cannot be read.
    """
    cases = []
    for frame in labeled_frames(one):
        image = one.image if frame.number is None else folder / f"{frame.id}.png"
        if not image.is_file():
            write_gray(frame.pixels, image)
        mask = folder / f"{frame.id}_mask.png"
        if frame.labels.any() and not mask.is_file():
            write_png_mask(frame.labels > 0, mask)
        cases.append(Case(frame.id, image, (mask,) if frame.labels.any() else (), one.group, frame.diagnosis))
    return cases


def write_gray(pixels: NDArray[np.float32], path: Path) -> None:
    """Write gray values (H, W) in [0, 1] as PNG."""
    with atomic_file(path) as partial:
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(partial, format="PNG")


def file_id(name: str) -> str:
    """Return an id of an image that no other name has, and that names files."""
    clean = case_id(name)
    return clean if clean == name else f"{clean}-{_short_hash(name)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
