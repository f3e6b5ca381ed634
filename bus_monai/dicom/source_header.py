"""What a derived object takes over from its source."""

from __future__ import annotations

from copy import deepcopy

from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM
from pydicom.dataset import Dataset
from pydicom.uid import UID, UltrasoundImageStorage
from pydicom.valuerep import validate_value

from bus_monai.errors import UserError

UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
NEVER_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes of patient and study of type 2: empty where unknown, DICOM PS3.3 C.7.1.1 and C.7.2.1."""
NAMES = ("PatientName", "ReferringPhysicianName")
"""One name each; a backslash in it, which the standard does not allow, makes it two."""
PIXELS = 0x7FE0
CHECKED = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI")
"""Representations whose values a viewer parses; texts, names and identifiers of patients are copied as they are."""


def source_header(source: Dataset) -> Dataset:
    """Copy the header of a source in UTF-8, without pixels and private elements, so that others may copy from it.

    Dates and times of ACR-NEMA (``1994.11.05``) become those of DICOM; codes, dates and numbers that the standard does
    not allow are left out, or empty where the standard wants them.

    Raises:
        UserError: an identifier is missing or not valid: nothing can refer to such an object.
    """
    for keyword in UIDS:
        if not UID(str(source.get(keyword) or "")).is_valid:
            name = getattr(source, "filename", None) or "The DICOM object"
            raise UserError(
                f"'{name}' has no valid {keyword}, so that no DICOM result can refer to it: mend it, or write masks as "
                "PNG instead."
            )
    header = Dataset()
    for element in source:
        if element.tag.group < PIXELS and not element.tag.is_private:
            header.add(deepcopy(element))
    header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in NAMES:
        if keyword in header and header[keyword].VM > 1:
            header[keyword].value = " ".join(map(str, header[keyword].value))
    for element in list(header):
        if element.VR in CHECKED and not element.is_empty:
            _mend(header, element.keyword)
    if header.get("PatientSex") not in ("M", "F", "O"):
        header.PatientSex = ""
    for keyword in NEVER_MISSING:
        if keyword not in header or header[keyword].is_empty:
            setattr(header, keyword, "")
    return header


def as_ultrasound(header: Dataset) -> Dataset:
    """Copy a header with the class of a single ultrasound image: highdicom knows no retired classes."""
    copy = deepcopy(header)
    copy.SOPClassUID = UltrasoundImageStorage
    return copy


def _mend(header: Dataset, keyword: str) -> None:
    element = header[keyword]
    separator = {"DA": ".", "TM": ":"}.get(element.VR)
    if separator and element.VM == 1:
        element.value = str(element.value).replace(separator, "")
    values = element.value if element.VM > 1 else [element.value]
    try:
        if element.VM > 1 and dictionary_VM(element.tag) == "1":
            raise ValueError("one value too many")
        for value in values:
            validate_value(element.VR, str(value), RAISE)
    except ValueError:
        del header[keyword]
