"""Headers of derived DICOM objects: attributes copied from the source, equipment, algorithm, UIDs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypedDict
from uuid import UUID

from pydicom.config import RAISE
from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, UltrasoundImageStorage
from pydicom.valuerep import validate_value

from bus_monai import __version__
from bus_monai.errors import UserError, writing
from bus_monai.io.atomic import atomic_file


class Equipment(TypedDict):
    """The arguments of highdicom for the equipment module, DICOM PS3.3 C.7.5.2."""

    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str


@dataclass(frozen=True)
class Algorithm:
    """The model behind a result, as objects name it.

    Args:
        name: of the model, at most 64 characters.
        version: of the model, at most 64 characters.
        weights_hash: SHA-256 of its weights in hexadecimal digits, or the first of them.
        operating_point: at which it was run, in words.
        is_calibrated: whether the probability of a lesion is the chance that it is one.
        is_manual: whether a person has drawn or approved the lesions by means of it.
    """

    name: str
    version: str
    weights_hash: str
    operating_point: str = ""
    is_calibrated: bool = False
    is_manual: bool = False

    @property
    def equipment(self) -> Equipment:
        """The model as a device: its weights are the serial number."""
        return {
            "manufacturer": "bus_monai",
            "manufacturer_model_name": self.name,
            "software_versions": f"{self.version}, bus_monai {__version__}",
            "device_serial_number": self.weights_hash,
        }

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.weights_hash}"


UID_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
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
PERSON_NAMES = ("PatientName", "ReferringPhysicianName")
"""One name each; a backslash in it, which the standard does not allow, makes it two."""
PIXELS_GROUP = 0x7FE0
REPEATING_GROUPS = (0x5000, 0x6000)
"""Of curves and overlays, drawn on the source and no part of what is derived."""
CHECKED_REPRESENTATIONS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI")
"""Representations whose values a viewer parses; texts, names and identifiers of patients are copied as they are."""


def source_header(source: Dataset) -> Dataset:
    """Copy the header of a source in UTF-8, without pixels and private elements, so that others may copy from it.

    Dates and times of ACR-NEMA (``1994.11.05``) become those of DICOM; codes, dates and numbers that the standard does
    not allow are left out, or empty where the standard wants them.

    Raises:
        UserError: an identifier is missing or not valid: nothing can refer to such an object.
    """
    for keyword in UID_KEYWORDS:
        if not UID(str(source.get(keyword) or "")).is_valid:
            name = getattr(source, "filename", None) or "The DICOM object"
            raise UserError(
                f"'{name}' has no valid {keyword}, so that no DICOM result can refer to it: fix it, or write masks as "
                "PNG instead."
            )
    header = Dataset()
    for element in _readable(source):
        header.add(deepcopy(element))
    header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PERSON_NAMES:
        if keyword in header and header[keyword].VM > 1:
            header[keyword].value = " ".join(map(str, header[keyword].value))
    for element in list(header):
        if element.VR in CHECKED_REPRESENTATIONS and not element.is_empty:
            _fix(header, element.tag)
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


def _readable(source: Dataset) -> Iterator[DataElement]:
    """Yield the elements whose values can be parsed: the others cost themselves alone."""
    for tag in sorted(source.keys()):
        if _is_copied(tag):
            with suppress(Exception):  # each representation has errors of its own
                yield source[tag]


def _is_copied(tag: BaseTag) -> bool:
    repeating = any(group <= tag.group <= group + 0xFE for group in REPEATING_GROUPS)
    return tag.group < PIXELS_GROUP and not tag.is_private and not repeating and dictionary_has_tag(tag)


def _fix(header: Dataset, tag: BaseTag) -> None:
    element = header[tag]
    separator = {"DA": ".", "TM": ":"}.get(element.VR)
    if separator and element.VM == 1:
        element.value = str(element.value).replace(separator, "")
    values = element.value if element.VM > 1 else [element.value]
    try:
        if element.VM > 1 and dictionary_VM(element.tag) == "1":
            raise ValueError("one value too many")
        for value in values:
            validate_value(element.VR, str(value), RAISE)
            if element.VR in ("DA", "TM") and "-" in str(value):
                raise ValueError("a range, as a query has it")
    except ValueError:
        del header[tag]


def stamp(dataset: Dataset, creation: datetime) -> None:
    """Set every date and time of making to ``creation``, and UTF-8.

    highdicom takes the clock's, and no rerun would be equal; its older versions leave the character set out.
    """
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name in ("Content", "InstanceCreation"):
        setattr(dataset, f"{name}Date", creation.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", creation.strftime("%H%M%S.%f"))
    for equipment in dataset.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = creation.strftime("%Y%m%d%H%M%S.%f")


def derived_uid(*parts: str) -> UID:
    """Return the identifier of what ``parts`` describe: same parts, same identifier.

    It is a UUID of SHA-256 below the root ``2.25``, DICOM PS3.5 B.2.
    """
    # JSON keeps ("a", "b") and ("ab",) apart
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UID(f"2.25.{UUID(bytes=digest[:16], version=5).int}")


def write_dicom(dataset: Dataset, path: str | Path) -> None:
    """Write beside ``path``, flush to the disk and rename, so that the file is whole at any moment.

    Raises:
        UserError: the disk is full or the folder cannot be written to; what was there before stays.
    """
    path = Path(path)
    with writing(path), atomic_file(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)
