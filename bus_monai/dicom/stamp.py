"""Dates, times and character set of a derived object."""

from __future__ import annotations

from datetime import datetime

from pydicom.dataset import Dataset


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
