"""CBIS-DDSM, masses in mammograms (Lee et al., Scientific Data 4, 2017, doi 10.1038/sdata.2017.177)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.readers.folder import copy_image, read_csv_table, require_files, require_folder, write_masks
from bus_monai.data.readers.shapes import write_shape_table
from bus_monai.dicom.read import frame_size
from bus_monai.errors import UserError
from bus_monai.sources.read import read_source

TABLE_FILES = ("mass_case_description_train_set.csv", "mass_case_description_test_set.csv")
TABLE_COLUMNS = ("patient_id", "abnormality id", "mass shape", "pathology", "image file path", "ROI mask file path")
DICOM_FOLDER = "CBIS-DDSM"
"""The folder that the download tool of the archive makes."""


@dataclass(frozen=True)
class Mass:
    """A row of the tables.

    Args:
        image_id: of the mammogram, such as ``Mass-Training_P_00001_LEFT_CC``.
        patient: such as ``P_00001``.
        number: of the mass in its mammogram, from 1.
        shape: BI-RADS words, joined by ``-``, such as ``IRREGULAR-ARCHITECTURAL_DISTORTION``; ``NA`` where not given.
        diagnosis: of the mass.
        image: path of the mammogram as listed.
        mask: path of the mask as listed.
        table: the table.
    """

    image_id: str
    patient: str
    number: int
    shape: str
    diagnosis: Diagnosis
    image: str
    mask: str
    table: Path


def is_cbis_ddsm(folder: Path) -> bool:
    """Whether ``folder`` has a table of masses."""
    return any((folder / name).is_file() for name in TABLE_FILES)


def read_masses(folder: str | Path) -> list[Mass]:
    """Read the tables of the masses, at least one of the two; without callback counts as benign.

    Raises:
        UserError: there is no table, or one lacks a column.
    """
    folder = require_folder(folder)
    if not is_cbis_ddsm(folder):
        raise UserError(f"'{folder}' has no table of CBIS-DDSM: put {' or '.join(TABLE_FILES)} there.")
    return [
        Mass(
            image_id=row["image file path"].split("/")[0],
            patient=row["patient_id"],
            number=int(row["abnormality id"]),
            shape=row["mass shape"],
            diagnosis="malignant" if row["pathology"] == "MALIGNANT" else "benign",
            image=row["image file path"],
            mask=row["ROI mask file path"],
            table=folder / name,
        )
        for name in TABLE_FILES
        if (folder / name).is_file()
        for row in read_csv_table(folder / name, TABLE_COLUMNS)
    ]


def read_cbis_ddsm(folder: str | Path) -> list[Case]:
    """Read the tables of masses with their DICOM files, which lie in the folder or in its ``CBIS-DDSM/``.

    A case is a mammogram with the masks of all its masses, malignant if one of them is. The group is the patient.
    Downloads name files otherwise than the tables (``1-1.dcm`` in folders of dates): any DICOM file in the first folder
    of a listed path counts. Masks and crops share a folder and are confused in many rows: the mask is the file of the
    mammogram's size, or the larger one where none has it.

    Raises:
        UserError: there is no table, or it lists mammograms or masks that are missing.
    """
    folder = require_folder(folder)
    masses: dict[str, list[Mass]] = defaultdict(list)
    for mass in read_masses(folder):
        masses[mass.image_id].append(mass)
    pixels = folder / DICOM_FOLDER if (folder / DICOM_FOLDER).is_dir() else folder
    files: dict[Path, list[Path]] = defaultdict(list)
    cases = []
    for name, members in masses.items():
        image = next(iter(_candidates(pixels, members[0].image)), pixels / members[0].image)
        found = tuple(_find_mask(pixels, mass.mask, image) for mass in members)
        files[members[0].table] += [image, *found]
        diagnosis: Diagnosis = "malignant" if any(mass.diagnosis == "malignant" for mass in members) else "benign"
        cases.append(Case(name, image, found, members[0].patient, diagnosis))
    for table, listed in files.items():
        require_files(listed, table)
    return cases


def write_cbis_ddsm_case(case: Case, out: Path) -> Case:
    """Copy the mammogram of ``case`` into ``out`` and write its masks as PNG files; return the case there.

    The few masks of another size than their mammogram are scaled to it.
    """
    size = frame_size(case.image)
    masks = write_masks(case, out, (_scale(read_source(mask).pixels > 0, size) for mask in case.masks))
    return replace(case, image=copy_image(case, out), masks=masks)


def write_mass_shapes(folder: Path, out: Path) -> None:
    """Write ``mass_shapes.csv`` into ``out``: the id of the case, the number of the mass, and its shape."""
    write_shape_table(out, ((mass.image_id, mass.number, mass.shape) for mass in read_masses(folder)))


def _find_mask(pixels: Path, listed: str, image: Path) -> Path:
    missing = pixels / listed
    sizes = {path: frame_size(path) for path in _candidates(pixels, listed)}
    wanted = frame_size(image) if image.is_file() else None
    fitting = [path for path, size in sizes.items() if size == wanted]
    if fitting:
        return fitting[0]
    # a lone file of another size is the crop
    return max(sizes, key=lambda path: sizes[path][0] * sizes[path][1]) if len(sizes) > 1 else missing


def _candidates(pixels: Path, listed: str) -> list[Path]:
    return sorted((pixels / listed.split("/")[0]).rglob("[!.]*.dcm"))


def _scale(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST), dtype=bool)
