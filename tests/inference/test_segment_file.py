"""One file: what of its header decides on it, and what costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.segment_files import PNG, table, ultrasound


def test_a_modality_is_one_in_small_letters_too(bright: Any, tmp_path: Path) -> None:
    ultrasound(tmp_path / "in" / "a.dcm", Modality="us")
    assert segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))["done"] == 1


def test_an_odd_element_costs_nothing(bright: Any, tmp_path: Path) -> None:
    path = ultrasound(tmp_path / "in" / "a.dcm", BurnedInAnnotation="YES")
    data = pydicom.dcmread(path)
    with pydicom.config.disable_value_validation():
        data.add_new(0x60000010, "US", 24)
        data.add_new(0x50000020, "CS", "ECG")
        data.add_new(0x00189999, "DS", "1.5")
        data.add_new(0x00100030, "DA", "19500101-")
        data.save_as(path)
    totals = segment_inputs([path], tmp_path / "out", bright, SegmentSettings(("seg", "sr", "sc", *PNG)))
    assert totals["done"] == 1
    assert not any(part.startswith("no ") for row in table(tmp_path / "out") for part in row["note"].split("; "))
    assert np.asarray(Image.open(tmp_path / "out" / "a_mask.png")).any()
