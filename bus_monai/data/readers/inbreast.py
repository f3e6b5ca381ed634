"""INbreast, masses in mammograms (Moreira et al., Academic Radiology 19, 2012, doi 10.1016/j.acra.2011.09.014)."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import NDArray

from bus_monai.data.case import Case, Diagnosis
from bus_monai.data.readers.folder import copy_image, read_csv_table, require_files, require_folder, write_masks
from bus_monai.dicom.read import frame_size
from bus_monai.errors import reading
from bus_monai.io.opened import open_regular

TABLE_FILE = "INbreast.csv"
DICOM_FOLDER, CONTOUR_FOLDER = "AllDICOMs", "AllXML"
MALIGNANT_FROM = 4
"""BI-RADS category from which biopsy is advised; the set gives no pathology, so that papers take it for malignant."""


def is_inbreast(folder: Path) -> bool:
    """Whether ``folder`` has ``INbreast.csv`` or ``AllDICOMs/`` with ``AllXML/``."""
    return (folder / TABLE_FILE).is_file() or ((folder / DICOM_FOLDER).is_dir() and (folder / CONTOUR_FOLDER).is_dir())


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
    rows = read_csv_table(folder / TABLE_FILE, ("File Name", "Bi-Rads"), delimiter=";")
    rows = [row for row in rows if row["File Name"].isdecimal()]  # the last ones may hold sums
    dicoms = {path.name.split("_")[0]: path for path in sorted((folder / DICOM_FOLDER).glob("*_*.dcm"))}
    require_files(
        (dicoms.get(r["File Name"], folder / DICOM_FOLDER / f"{r['File Name']}_*.dcm") for r in rows),
        folder / TABLE_FILE,
    )
    cases = []
    for row in rows:
        image = dicoms[row["File Name"]]
        contours = folder / CONTOUR_FOLDER / f"{row['File Name']}.xml"
        masses = len(list(read_mass_contours(contours))) if contours.is_file() else 0
        cases.append(
            Case(row["File Name"], image, (contours,) * masses, image.name.split("_")[1], _diagnosis(row, masses))
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


def _diagnosis(row: dict[str, str], masses: int) -> Diagnosis:
    category = row["Bi-Rads"][:1]
    if not masses:
        return "normal"
    if not category.isdecimal():
        return "unknown"
    return "malignant" if int(category) >= MALIGNANT_FROM else "benign"
