"""The labels made so far as a data set."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.datalist import Datalist, write_datalist
from bus_monai.data.readers.case_id import case_id
from bus_monai.errors import UserError
from bus_monai.inference.outputs import frame_mark
from bus_monai.inference.segment_frames import read_all_frames
from bus_monai.label.image_shape import image_shape
from bus_monai.label.label_file import read_labels
from bus_monai.mask_file import write_png_mask
from bus_monai.source import image_stem, source_kind

HELD_OUT = {"test": 0.15, "validation": 0.3}
"""Up to which hash in [0, 1) a group belongs to a section; those above are trained on."""
logger = logging.getLogger("bus_monai")


def write_training_data(labels: Mapping[str, Path], images: Mapping[str, Path], folder: Path) -> Datalist:
    """Write images and masks with a ``datalist.json`` into a folder; images are linked, not copied, where that works.

    Of a cine every frame that shows a lesion is a case. Unlabelled files that cannot be read are left out with a
    warning.

    Args:
        labels: files of the final labels by image.
        images: files of all images by name.
        folder: empty.

    Raises:
        UserError: too few patients are labelled, or a file cannot be read.
    """
    groups = {name: _group(images[name], name) for name in labels}
    sections: dict[str, list[Case]] = {name: [] for name in ("training", "validation", "test", "unlabeled")}
    of_group = split_groups(sorted(set(groups.values())))
    for name, label in sorted(labels.items()):
        sections[of_group[groups[name]]] += _labelled(name, images[name], label, groups[name], folder)
    for name, image in sorted(images.items()):
        if name in labels:
            continue
        try:
            image_shape(image)
        except UserError as error:
            logger.warning("Left out: %s", error)
            continue
        sections["unlabeled"].append(_case(name, _linked(image, folder, name), (), _group(image, name)))
    datalist = Datalist.of(sections)
    write_datalist(folder, datalist)
    return datalist


def split_groups(groups: Sequence[str]) -> dict[str, str]:
    """Assign patients to ``training``, ``validation`` and ``test`` so that more labels never test what was trained on.

    In the order of a hash of their names; a held-out section has at least one.

    Raises:
        UserError: none is left to train on.
    """
    left = sorted(groups, key=lambda group: (_hash(group), group))
    sections: dict[str, str] = {}
    for section, limit in HELD_OUT.items():
        count = max(sum(_hash(group) < limit for group in left), 1)
        sections |= dict.fromkeys(left[:count], section)
        left = left[count:]
    if not left:
        raise UserError(
            f"All of the {len(groups)} labelled patients are held out to validate and test with: label more images."
        )
    return sections | dict.fromkeys(left, "training")


def _hash(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def _group(image: Path, name: str) -> str:
    """Return the patient of a DICOM file, else the image's own name."""
    if source_kind(image) != "dicom":
        return name
    import pydicom

    header = pydicom.dcmread(image, stop_before_pixels=True, force=True, specific_tags=["PatientID"])
    return str(header.get("PatientID") or name)


def _labelled(name: str, image: Path, label: Path, group: str, folder: Path) -> Iterator[Case]:
    values = read_labels(label, image_shape(image))
    if len(values) == 1:
        masks = _masks(values[0], folder, name)
        yield _case(name, _linked(image, folder, name), masks, group, "unknown" if masks else "normal")
        return
    for number, (source, frame) in enumerate(zip(read_all_frames(image), values, strict=True)):
        if frame.any():
            of_frame = name + frame_mark(number, len(values))
            picture = folder / f"{_file_name(of_frame)}.png"
            Image.fromarray(np.rint(source.pixels * 255).astype(np.uint8)).save(picture)
            yield _case(of_frame, picture, _masks(frame, folder, of_frame), group)


def _case(name: str, image: Path, masks: tuple[Path, ...], group: str, diagnosis: Diagnosis = "unknown") -> Case:
    return Case(_file_name(name), image, masks, group, diagnosis)


def _masks(labels: NDArray[np.uint8], folder: Path, name: str) -> tuple[Path, ...]:
    if not labels.any():
        return ()
    path = folder / f"{_file_name(name)}_mask.png"
    write_png_mask(labels > 0, path)
    return (path,)


def _linked(image: Path, folder: Path, name: str) -> Path:
    path = folder / (_file_name(name) + image.name.removeprefix(image_stem(image.name)))
    try:
        os.link(image, path)
    except OSError:
        shutil.copyfile(image, path)
    return path


def _file_name(name: str) -> str:
    """Return an id that no other name has."""
    clean = case_id(name)
    return clean if clean == name else f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
