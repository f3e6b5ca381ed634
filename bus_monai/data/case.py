"""A case: an image with its masks, group and diagnosis, as readers yield it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Diagnosis: TypeAlias = Literal["benign", "malignant", "normal", "unknown"]
DIAGNOSES: tuple[Diagnosis, ...] = ("benign", "malignant", "normal")
"""Those that are known, which are also the folders and words of data sets."""
Shape: TypeAlias = Literal["round", "oval", "lobular", "irregular"]


def to_diagnosis(word: str) -> Diagnosis:
    """Return the diagnosis that a table calls by its name, in capitals or not; any other word is ``unknown``."""
    return next((known for known in DIAGNOSES if known == word.lower()), "unknown")


@dataclass(frozen=True)
class Case:
    """One image with the masks of its lesions.

    Args:
        id: unique within the data set, made of letters, digits, ``-``, ``_`` and ``.``; names the case in every table.
        image: the image file.
        masks: one file per lesion, all of the image's size; merged with OR. Empty for an image without lesion.
        group: patient or duplicate group; cases of a group never straddle a split.
        diagnosis: the diagnosis of the image.
        dataset: the data set it comes from, where there are several.
    """

    id: str
    image: Path
    masks: tuple[Path, ...]
    group: str
    diagnosis: Diagnosis
    dataset: str = ""
