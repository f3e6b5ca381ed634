"""A small label folder with every kind of image, as `bus-monai label` leaves it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.io.masks import usual_suffix, write_labels
from bus_monai.sources.read import image_shape
from tests.dicom.objects import CINE, SINGLE, shorten

PICTURES = {
    "a": {"birads": "4A", "diagnosis": "benign", "comment": "=1+1"},
    "sub/b c": {"birads": "1"},
    "d": {"birads": "5", "diagnosis": "malignant"},
}
"""Their fields."""


def write_pictures(folder: Path, *, shift: int = 0) -> Path:
    """Write two pictures with lesions, the first with two of which one has a hole, one without, and one unlabeled."""
    for seed, name in enumerate([*PICTURES, "unlabeled"]):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(1, 255, (60, 80), dtype=np.uint8)).save(path)
    first = np.zeros((1, 60, 80), np.uint8)
    first[0, 10 + shift : 30 + shift, 10:40] = 1
    first[0, 15 + shift : 20 + shift, 20:25] = 0
    first[0, 30 + shift : 40, 40:60] = 2
    last = np.zeros((1, 60, 80), np.uint8)
    last[0, 20 + shift : 50, 20:50] = 3
    save_labels(folder, {"a": first, "sub/b c": np.zeros((1, 60, 80), np.uint8), "d": last}, PICTURES)
    return folder


def write_scans(folder: Path) -> Path:
    """Write a DICOM image and a cine of three frames, of two patients, and a NIfTI image, each with a lesion."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (SINGLE, CINE):
        shutil.copy(str(get_testdata_file(name)), folder / name)
    shorten(folder / CINE, 3)
    gray = np.random.default_rng(9).integers(1, 255, (50, 40, 1), dtype=np.uint8)
    affine = np.diag([-0.1, -0.2, 1.0, 1.0])
    affine[:3, 3] = 5, 6, 7
    nib.save(nib.Nifti1Image(gray, affine), folder / "n.nii.gz")
    labels = {}
    for path in sorted(folder.glob("*.*")):
        drawn = np.zeros(image_shape(path), np.uint8)
        drawn[-1, 5:25, 10:30] = 1
        drawn[0, 26:35, 12:20] = 2
        labels[path.name.split(".")[0]] = drawn
    save_labels(folder, labels, {name: {"diagnosis": "benign"} for name in labels})
    return folder


def save_labels(
    folder: Path,
    labels: dict[str, NDArray[np.uint8]],
    fields: dict[str, dict[str, str]],
    *,
    origin: str = "drawn",
) -> None:
    """Write final labels, and the list of images that names their fields."""
    objects: dict[str, Any] = {}
    for name, drawn in labels.items():
        (image,) = folder.glob(f"{name}.*")
        suffix = usual_suffix(len(drawn), image)
        path = folder / "labels" / "final" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(list(drawn), image, path)
        info = {"ts": 1_700_000_000, "origin": origin, "fields": fields.get(name, {})}
        objects[name] = {"labels": {"final": {"info": info, "ext": suffix}}}
    (folder / "datastore_v2.json").write_text(json.dumps({"objects": objects}))
    (folder / ".lock").touch()
