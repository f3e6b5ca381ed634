"""Readers of the published sets of ultrasound pictures with masks; the catalog cites them.

BUSI, BUS-UCLM, BUS-BRA, BrEaST, UDIAT and STU-Hospital, each with what tells its folder and what lists its cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import DIAGNOSES, Case, Diagnosis, to_diagnosis
from bus_monai.data.near_duplicates import KNOWN_DUPLICATES_FILE, with_groups
from bus_monai.data.readers.folder import (
    copy_image,
    raster_files,
    read_csv_table,
    read_xlsx_table,
    require_files,
    require_folder,
    require_pairs,
    write_masks,
)
from bus_monai.data.readers.shapes import shape_word, write_shape_table
from bus_monai.errors import UserError
from bus_monai.io.image import opened_raster, read_any_mask, read_raster
from bus_monai.io.opened import open_source

BREAST_TABLE = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
BREAST_COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Classification")
BUS_BRA_TABLE = "bus_data.csv"
BUS_UCLM_TABLE = "INFO.csv"
UDIAT_TABLE = "DatasetB.xlsx"
STU_IMAGE_PREFIX, STU_MASK_PREFIX = "Test_Image_", "mask_"
_BUSI_IMAGE = re.compile(r"^(?P<name>\w+ \(\d+\))\.png$")
_UCLM_NAME = re.compile(r"[A-Z]{4}_\d{3}")


def is_busi(folder: Path) -> bool:
    """Whether ``folder`` looks like BUSI: it has a folder for a class with images named as published."""
    return any(_BUSI_IMAGE.match(path.name) for name in DIAGNOSES for path in (folder / name).glob(f"{name} (*).png"))


def read_busi(folder: str | Path) -> list[Case]:
    """Read the folder as published: ``<class>/<class> (n).png`` with ``_mask.png``, ``_mask_1.png``, ...

    Gaps in the numbering are normal; a normal image may lack its empty mask. Groups hold equal files and
    near-duplicates, within and across classes.

    Raises:
        UserError: the folder is not BUSI, an image with a lesion has no mask, or a mask no image.
    """
    folder = require_folder(folder)
    if not is_busi(folder):
        raise UserError(f"'{folder}' is no BUSI folder: it must hold benign/, malignant/ and normal/ as published.")
    for diagnosis in DIAGNOSES:
        masks = sorted((folder / diagnosis).glob(f"{diagnosis} (*)_mask*.png"))
        stray = {
            mask.name: mask for mask in masks if not mask.with_name(f"{mask.stem.split('_mask')[0]}.png").is_file()
        }
        require_pairs({}, stray, folder / diagnosis)
    cases = []
    for diagnosis in DIAGNOSES:
        # by the class's own name, since an image of another class here would share its id with one of this
        images = [path for path in (folder / diagnosis).glob(f"{diagnosis} (*).png") if _BUSI_IMAGE.match(path.name)]
        for image in sorted(images, key=_busi_number):
            own = tuple(sorted(image.parent.glob(f"{image.stem}_mask*.png")))
            if not own and diagnosis != "normal":
                raise UserError(
                    f"The {diagnosis} image '{image}' has no mask '{image.stem}_mask.png': add it or remove the image."
                )
            cases.append(Case(f"{diagnosis}_{_busi_number(image)}", image, own, "", diagnosis))
    return with_groups(cases, folder / KNOWN_DUPLICATES_FILE)


def _busi_number(image: Path) -> int:
    return int(image.stem[image.stem.index("(") + 1 : -1])


def is_bus_uclm(folder: Path) -> bool:
    """Whether classes, or ``images/`` with ``INFO.csv`` or colored masks, have files like ``ALWI_000.png``."""
    if not _uclm_images(folder / "images"):
        return any(_uclm_images(folder / name) for name in DIAGNOSES)
    # people's own images/ may hold such names too
    return (folder / BUS_UCLM_TABLE).is_file() or any(
        _color_diagnosis(mask) != "normal" for mask in _uclm_images(folder / "masks").values()
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
    if not any(_uclm_images(folder / name) for name in ("images", *DIAGNOSES)):
        raise UserError(
            f"'{folder}' is no BUS-UCLM folder: it must hold images/ and masks/, or benign/, malignant/ and normal/, "
            "with files like ALWI_000.png."
        )
    return _read_uclm_colors(folder) if (folder / "images").is_dir() else _read_uclm_classes(folder)


def write_bus_uclm_case(case: Case, out: Path) -> Case:
    """Copy the image of ``case`` into ``out`` and write its masks without their colors; return the case there."""
    masks = write_masks(case, out, (read_any_mask(mask) for mask in case.masks))
    return replace(case, image=copy_image(case, out), masks=masks)


def _uclm_images(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in raster_files(folder) if _UCLM_NAME.fullmatch(path.stem)}


def _read_uclm_colors(folder: Path) -> list[Case]:
    images, masks = _uclm_images(folder / "images"), _uclm_images(folder / "masks")
    labels: dict[str, Diagnosis] = {}
    if (folder / BUS_UCLM_TABLE).is_file():
        for row in read_csv_table(folder / BUS_UCLM_TABLE, ("Image", "Label"), delimiter=";"):
            labels[Path(row["Image"]).stem] = to_diagnosis(row["Label"])
        require_files((folder / "images" / f"{name}.png" for name in labels), folder / BUS_UCLM_TABLE)
    require_pairs(images, masks, folder)
    return [
        Case(name, image, (masks[name],), name[:4], labels.get(name) or _color_diagnosis(masks[name]))
        for name, image in images.items()
    ]


def _color_diagnosis(mask: Path) -> Diagnosis:
    with open_source(mask) as source, opened_raster(mask, source.file) as image:
        red, green, _ = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    if (red > green).any():
        return "malignant"
    return "benign" if (green > red).any() else "normal"


def _read_uclm_classes(folder: Path) -> list[Case]:
    cases = []
    for diagnosis in DIAGNOSES:
        home = folder / diagnosis
        images = _uclm_images(home)
        masks = {m.stem.removesuffix("_mask"): m for m in raster_files(home) if m.stem.endswith("_mask")}
        # a copy may leave out empty masks
        require_pairs({k: path for k, path in images.items() if k in masks or diagnosis != "normal"}, masks, home)
        for key, image in images.items():
            cases.append(Case(key, image, (masks[key],) if key in masks else (), key[:4], diagnosis))
    return cases


def is_bus_bra(folder: Path) -> bool:
    """Whether ``folder`` looks like BUS-BRA: it has ``bus_data.csv`` and ``Images/``."""
    return (folder / BUS_BRA_TABLE).is_file() and (folder / "Images").is_dir()


def read_bus_bra(folder: str | Path) -> list[Case]:
    """Read ``Images/bus_0001-l.png``, ``Masks/mask_0001-l.png`` and ``bus_data.csv`` with ID, Case and Pathology.

    The group is the patient, the column ``Case``; the letter in a name (l, r or s) tells the images of a patient apart.

    Raises:
        UserError: there is no table, it lacks a column, or it lists files that are missing.
    """
    folder = require_folder(folder)
    cases = []
    for row in read_csv_table(folder / BUS_BRA_TABLE, ("ID", "Case", "Pathology")):
        name = row["ID"]
        mask = folder / "Masks" / f"mask_{name.removeprefix('bus_')}.png"
        image, diagnosis = folder / "Images" / f"{name}.png", to_diagnosis(row["Pathology"])
        cases.append(Case(name, image, (mask,), f"patient_{row['Case']}", diagnosis))
    require_files((path for case in cases for path in (case.image, *case.masks)), folder / BUS_BRA_TABLE)
    return cases


def is_breast(folder: Path) -> bool:
    """Whether ``folder`` looks like BrEaST: a clinical table, or an image ``case001.png`` with its tumor mask."""
    return any(folder.glob("BrEaST*clinical*.xlsx")) or any(folder.glob("case*_tumor.png"))


def read_breast(folder: str | Path) -> list[Case]:
    """Read ``case001.png``, ``case001_tumor.png``, ... and the clinical .xlsx that lists them.

    The images may lie in the folder of the table or below. Several masks of a case are separated by ``&``. Masks of
    other findings (``case001_other1.png``) are left out, since they are no tumors. The group is the column ``CaseID``,
    one patient each.

    Raises:
        UserError: there is no table, it lacks a column, or it lists files that are missing.
    """
    folder = require_folder(folder)
    table = _breast_table(folder)
    rows = read_xlsx_table(table, BREAST_COLUMNS)
    files = {path.name: path for path in sorted(folder.rglob("case*.png"))}
    cases = []
    for row in rows:
        image = row["Image_filename"]
        # a file that is missing keeps the name it should have
        paths = [files.get(name, folder / name) for name in (image, *_breast_masks(row))]
        diagnosis = to_diagnosis(row["Classification"])
        cases.append(Case(Path(image).stem, paths[0], tuple(paths[1:]), f"patient_{row['CaseID']}", diagnosis))
    require_files((path for case in cases for path in (case.image, *case.masks)), table)
    return cases


def write_breast_shapes(folder: Path, out: Path) -> None:
    """Write ``mass_shapes.csv`` into ``out``: the column ``Shape``, in capitals, of the cases with one tumor.

    The table has one word per case: it does not say to which of several tumors it belongs.
    """
    rows = []
    for row in read_xlsx_table(_breast_table(folder), BREAST_COLUMNS):
        masks = _breast_masks(row)
        shape = shape_word(row.get("Shape", "") if len(masks) == 1 else "")
        rows += [(Path(row["Image_filename"]).stem, number, shape) for number in range(1, len(masks) + 1)]
    write_shape_table(out, rows)


def _breast_table(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("BrEaST*clinical*.xlsx"))), folder / BREAST_TABLE)


def _breast_masks(row: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in row["Mask_tumor_filename"].split("&") if name.strip().endswith(".png")]


def is_udiat(folder: Path) -> bool:
    """Whether ``folder``, or one of its folders for a class, has ``original/`` and ``GT/``."""
    return bool(_udiat_parts(folder))


def read_udiat(folder: str | Path) -> list[Case]:
    """Read ``original/000001.png`` with ``GT/000001.png``.

    The diagnosis is in ``DatasetB.xlsx`` (columns ``Image``, a number, and ``Type``). A copy without this table may
    sort ``original/`` and ``GT/`` into ``benign/`` and ``malignant/``; without either the diagnosis is unknown. Every
    image is of another woman by the paper; should there be near-duplicates, they share a group.

    Raises:
        UserError: the folder is not UDIAT, the table lists missing files, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    cases: list[Case] = []
    for part, diagnosis in _udiat_parts(folder).items():
        images = {path.stem: path for path in raster_files(part / "original")}
        masks = {path.stem: path for path in raster_files(part / "GT")}
        types = _udiat_types(part)
        require_pairs(images, masks, part)
        cases += [Case(n, path, (masks[n],), "", types.get(n, diagnosis)) for n, path in images.items()]
    if not cases:
        raise UserError(f"'{folder}' is no UDIAT folder: it must hold original/ and GT/ with files like 000001.png.")
    return with_groups(cases)


def _udiat_parts(folder: Path) -> dict[Path, Diagnosis]:
    parts: dict[Path, Diagnosis] = {folder: "unknown", **{folder / d: d for d in DIAGNOSES}}
    return {part: d for part, d in parts.items() if (part / "original").is_dir() and (part / "GT").is_dir()}


def _udiat_types(folder: Path) -> dict[str, Diagnosis]:
    table = folder / UDIAT_TABLE
    if not table.is_file():
        return {}
    rows = read_xlsx_table(table, ("Image", "Type"))
    types = {row["Image"].zfill(6): to_diagnosis(row["Type"]) for row in rows}
    require_files((folder / "original" / f"{name}.png" for name in types), table)
    return types


def is_stu_hospital(folder: Path) -> bool:
    """Whether ``folder``, or its ``Hospital/``, has images like ``Test_Image_1.png``."""
    return bool(_stu_files(_stu_home(folder), STU_IMAGE_PREFIX))


def read_stu_hospital(folder: str | Path) -> list[Case]:
    """Read ``Test_Image_1.png`` with ``mask_1.png``, in the folder or its ``Hospital/``.

    The set names neither patients nor diagnoses: groups hold near-duplicates, every diagnosis is unknown. Images have
    128 x 128 pixels but most masks 400 x 400 to 512 x 512, with grays: ``write_stu_hospital_case`` makes them fit.

    Raises:
        UserError: the folder is not STU-Hospital, or images or masks lack their partner.
    """
    folder = require_folder(folder)
    if not is_stu_hospital(folder):
        raise UserError(
            f"'{folder}' is no STU-Hospital folder: it must hold files like Test_Image_1.png and mask_1.png."
        )
    home = _stu_home(folder)
    images, masks = _stu_files(home, STU_IMAGE_PREFIX), _stu_files(home, STU_MASK_PREFIX)
    require_pairs(images, masks, home)
    return with_groups([Case(f"stu_{n}", images[n], (masks[n],), "", "unknown") for n in sorted(images, key=int)])


def write_stu_hospital_case(case: Case, out: Path) -> Case:
    """Copy the image of ``case`` into ``out`` and write its mask in the size of the image; return the case there.

    A pixel is lesion where the published mask, averaged over it, reaches half of white.
    """
    height, width = read_raster(case.image).shape
    masks = write_masks(case, out, (_scaled(read_raster(mask), height, width) >= 0.5 for mask in case.masks))
    return replace(case, image=copy_image(case, out), masks=masks)


def _scaled(mask: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BOX), dtype=np.float32)


def _stu_home(folder: Path) -> Path:
    return folder / "Hospital" if (folder / "Hospital").is_dir() else folder


def _stu_files(folder: Path, prefix: str) -> dict[str, Path]:
    names = {path: path.stem.removeprefix(prefix) for path in raster_files(folder) if path.stem.startswith(prefix)}
    return {number: path for path, number in names.items() if number.isdecimal()}
