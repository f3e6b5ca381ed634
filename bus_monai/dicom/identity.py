"""Who is on an image, and what kind of image it is."""

from __future__ import annotations

import warnings
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from bus_monai.source_image import DICOM_SUFFIXES

IDENTIFIERS = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "AccessionNumber")
SHORTEST = 3
"""Characters of an identifier that is looked for: shorter ones are parts of common words."""


def read_modality(path: Path) -> str:
    """Return the modality, such as ``US``; ``DICOMDIR`` for a directory; empty where the file does not say."""
    header = _read(path, ["Modality", "SOPClassUID"])
    directory = getattr(header, "file_meta", Dataset()).get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    return "DICOMDIR" if directory else _text(header, "Modality")


def without_identifiers(text: str, path: Path) -> str:
    """Replace what identifies the patient of a file, which a decoder's message may quote, by an ellipsis."""
    header = _read(path, list(IDENTIFIERS))
    for keyword in IDENTIFIERS:
        value = _text(header, keyword)
        for part in (value, *value.split("^")):
            if len(part) >= SHORTEST:
                text = text.replace(part, "…")
    return text


def _read(path: Path, keywords: list[str]) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=keywords, force=path.suffix.lower() in DICOM_SUFFIXES
            )
    except Exception:  # of some ten kinds; reading the image will say what is wrong
        return Dataset()


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except Exception:  # values are decoded when they are asked for
        return ""
