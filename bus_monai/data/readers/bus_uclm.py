"""BUS-UCLM (Vallez et al., Scientific Data 12, 2025, doi 10.1038/s41597-025-04562-3)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bus_monai.data.case import DIAGNOSES, Case, Diagnosis, to_diagnosis
from bus_monai.data.readers.folder import (
    copy_image,
    raster_files,
    read_csv_table,
    require_files,
    require_folder,
    require_pairs,
    write_masks,
)
from bus_monai.errors import UserError, reading
from bus_monai.io.image import read_any_mask

TABLE_FILE = "INFO.csv"
_NAME = re.compile(r"[A-Z]{4}_\d{3}")


def is_bus_uclm(folder: Path) -> bool:
    """Whether classes, or ``images/`` with ``INFO.csv`` or colored masks, have files like ``ALWI_000.png``."""
    if not _images(folder / "images"):
        return any(_images(folder / name) for name in DIAGNOSES)
    # people's own images/ may hold such names too
    return (folder / TABLE_FILE).is_file() or any(
        _diagnosis(mask) != "normal" for mask in _images(folder / "masks").values()
    )


def read_bus_uclm(folder: str | Path) -> list[Case]:
    """Read either ``images/`` and ``masks/`` with ``INFO.csv``, as published, or one folder per class.

    The published masks are colored: black is no lesion, green a benign and red a malignant one. The columns ``Image``
    and ``Label`` of the table, separated by semicolons, are used where there is a table, else the colors. In the other
    layout, of common copies, masks lie beside the images as ``ALWI_000_mask.png``. The group is the patient, the first
    four letters of the name.

    Raises:
        UserError: the folder is not BUS-UCLM, the table lists missing files, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    if not any(_images(folder / name) for name in ("images", *DIAGNOSES)):
        raise UserError(
            f"'{folder}' is no BUS-UCLM folder: it must hold images/ and masks/, or benign/, malignant/ and normal/, "
            "with files like ALWI_000.png."
        )
    return _read_colors(folder) if (folder / "images").is_dir() else _read_classes(folder)


def write_bus_uclm_case(case: Case, out: Path) -> Case:
    """Copy the image of ``case`` into ``out`` and write its masks without their colors; return the case there."""
    masks = write_masks(case, out, (read_any_mask(mask) for mask in case.masks))
    return replace(case, image=copy_image(case, out), masks=masks)


def _images(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in raster_files(folder) if _NAME.fullmatch(path.stem)}


def _read_colors(folder: Path) -> list[Case]:
    images, masks = _images(folder / "images"), _images(folder / "masks")
    labels: dict[str, Diagnosis] = {}
    if (folder / TABLE_FILE).is_file():
        for row in read_csv_table(folder / TABLE_FILE, ("Image", "Label"), delimiter=";"):
            labels[Path(row["Image"]).stem] = to_diagnosis(row["Label"])
        require_files((folder / "images" / f"{name}.png" for name in labels), folder / TABLE_FILE)
    require_pairs(images, masks, folder)
    return [
        Case(name, image, (masks[name],), name[:4], labels.get(name) or _diagnosis(masks[name]))
        for name, image in images.items()
    ]


def _diagnosis(mask: Path) -> Diagnosis:
    with reading(mask, errors=(SyntaxError, ValueError)), Image.open(mask) as image:
        red, green, _ = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    if (red > green).any():
        return "malignant"
    return "benign" if (green > red).any() else "normal"


def _read_classes(folder: Path) -> list[Case]:
    cases = []
    for diagnosis in DIAGNOSES:
        home = folder / diagnosis
        images = _images(home)
        masks = {m.stem.removesuffix("_mask"): m for m in raster_files(home) if m.stem.endswith("_mask")}
        # a copy may leave out empty masks
        require_pairs({k: path for k, path in images.items() if k in masks or diagnosis != "normal"}, masks, home)
        for key, image in images.items():
            cases.append(Case(key, image, (masks[key],) if key in masks else (), key[:4], diagnosis))
    return cases
