"""Readers of the published sets of mammograms with masses: CBIS-DDSM and INbreast; the catalog cites them."""

from __future__ import annotations

import plistlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import Case, Diagnosis
from bus_monai.data.readers.folder import copy_image, read_csv_table, require_files, require_folder, write_masks
from bus_monai.data.readers.shapes import write_shape_table
from bus_monai.dicom.read import frame_size
from bus_monai.errors import UserError, reading
from bus_monai.io.opened import open_regular
from bus_monai.sources.read import read_source

DDSM_TABLES = ("mass_case_description_train_set.csv", "mass_case_description_test_set.csv")
DDSM_COLUMNS = ("patient_id", "abnormality id", "mass shape", "pathology", "image file path", "ROI mask file path")
DDSM_FOLDER = "CBIS-DDSM"
"""The folder that the download tool of the archive makes."""
INBREAST_TABLE = "INbreast.csv"
INBREAST_FOLDER, CONTOUR_FOLDER = "AllDICOMs", "AllXML"
MALIGNANT_FROM = 4
"""BI-RADS category from which biopsy is advised; the set gives no pathology, so that papers take it for malignant."""


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
    return any((folder / name).is_file() for name in DDSM_TABLES)


def read_masses(folder: str | Path) -> list[Mass]:
    """Read the tables of the masses, at least one of the two; without callback counts as benign.

    Raises:
        UserError: there is no table, or one lacks a column.
    """
    folder = require_folder(folder)
    if not is_cbis_ddsm(folder):
        raise UserError(f"'{folder}' has no table of CBIS-DDSM: put {' or '.join(DDSM_TABLES)} there.")
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
        for name in DDSM_TABLES
        if (folder / name).is_file()
        for row in read_csv_table(folder / name, DDSM_COLUMNS)
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
    pixels = folder / DDSM_FOLDER if (folder / DDSM_FOLDER).is_dir() else folder
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
    masks = write_masks(case, out, (_scaled(read_source(mask).pixels > 0, size) for mask in case.masks))
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


def _scaled(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST), dtype=bool)


def is_inbreast(folder: Path) -> bool:
    """Whether ``folder`` has ``INbreast.csv`` or ``AllDICOMs/`` with ``AllXML/``."""
    return (folder / INBREAST_TABLE).is_file() or (
        (folder / INBREAST_FOLDER).is_dir() and (folder / CONTOUR_FOLDER).is_dir()
    )


def read_inbreast(folder: str | Path) -> list[Case]:
    """Read ``INbreast.csv``, ``AllDICOMs/<number>_<patient>_MG_<side>_<view>_ANON.dcm`` and ``AllXML/<number>.xml``.

    The table is separated by semicolons and gives ``File Name``, the number, and ``Bi-Rads``. Only masses are lesions
    here: an image without one counts as normal, whatever else it shows; one with a mass as malignant from BI-RADS 4 on,
    else benign. The group is the patient as in the name of the DICOM file, since the table has it removed. A mask is
    the XML file, once per mass: ``write_inbreast_case`` draws the contours.

    Raises:
        UserError: there is no table, it lists missing files, or a contour file cannot be read.
    """
    folder = require_folder(folder)
    rows = read_csv_table(folder / INBREAST_TABLE, ("File Name", "Bi-Rads"), delimiter=";")
    rows = [row for row in rows if row["File Name"].isdecimal()]  # the last ones may hold sums
    dicoms = {path.name.split("_")[0]: path for path in sorted((folder / INBREAST_FOLDER).glob("*_*.dcm"))}
    require_files(
        (dicoms.get(r["File Name"], folder / INBREAST_FOLDER / f"{r['File Name']}_*.dcm") for r in rows),
        folder / INBREAST_TABLE,
    )
    cases = []
    for row in rows:
        image = dicoms[row["File Name"]]
        contours = folder / CONTOUR_FOLDER / f"{row['File Name']}.xml"
        masses = len(list(read_mass_contours(contours))) if contours.is_file() else 0
        cases.append(
            Case(
                row["File Name"],
                image,
                (contours,) * masses,
                image.name.split("_")[1],
                _inbreast_diagnosis(row, masses),
            )
        )
    return cases


def write_inbreast_case(case: Case, out: Path) -> Case:
    """Copy the mammogram of ``case`` into ``out`` and draw one mask per mass as PNG; return the case there."""
    from skimage.draw import polygon2mask

    masks: Iterator[NDArray[np.bool_]] = iter(())
    if case.masks:
        size = frame_size(case.image)
        masks = (polygon2mask(size, contour) for contour in read_mass_contours(case.masks[0]))
    return replace(case, image=copy_image(case, out), masks=write_masks(case, out, masks))


def read_mass_contours(path: Path) -> Iterator[NDArray[np.float64]]:
    """Yield the contour of each mass in an XML property list of OsiriX, as points (n, 2) of row and column.

    Raises:
        UserError: the file cannot be read.
    """
    errors = (ValueError, TypeError, AttributeError, LookupError, ExpatError)
    with reading(path, "contours of INbreast", errors=errors, remedy="download it again"):
        with open_regular(path) as file:
            regions = plistlib.load(file, fmt=plistlib.FMT_XML)["Images"][0]["ROIs"]
        for region in regions:
            points = [[float(x) for x in point.strip("() ").split(",")] for point in region["Point_px"]]
            # fewer points enclose nothing; a few regions are said to have no name
            if region.get("Name", "").strip().lower() == "mass" and len(points) >= 3:
                yield np.asarray(points, dtype=np.float64)[:, 1::-1]


def _inbreast_diagnosis(row: dict[str, str], masses: int) -> Diagnosis:
    category = row["Bi-Rads"][:1]
    if not masses:
        return "normal"
    if not category.isdecimal():
        return "unknown"
    return "malignant" if int(category) >= MALIGNANT_FROM else "benign"
