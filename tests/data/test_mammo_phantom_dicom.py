"""Phantoms as DICOM: valid, and read back as they were."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bus_monai.data.phantoms.mammogram import MammoPhantom, make_mammo_phantom
from bus_monai.sources.read import read_source
from tests.conftest import skip
from tests.data.mammo_phantom_dicom import as_dicom_mg


def phantom_of(laterality: str) -> MammoPhantom:
    # an odd number of pixels
    return next(p for p in (make_mammo_phantom(seed, (151, 101)) for seed in range(20)) if p.laterality == laterality)


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_dciodvfy_finds_no_error(laterality: str, tmp_path: Path) -> None:
    tool = shutil.which("dciodvfy")
    if not tool:
        skip("no DICOM validator: install dicom3tools")
    as_dicom_mg(phantom_of(laterality)).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    said = subprocess.run([tool, tmp_path / "a.dcm"], capture_output=True, text=True, check=False).stderr
    assert "MammographyImageForPresentation" in said
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_pixels_and_side_come_back(laterality: str, tmp_path: Path) -> None:
    phantom = phantom_of(laterality)
    as_dicom_mg(phantom).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    header = pydicom.dcmread(tmp_path / "a.dcm")
    assert header.SOPClassUID.name == "Digital Mammography X-Ray Image Storage - For Presentation"
    assert header.ImageLaterality == laterality
    assert list(header.ImagerPixelSpacing) == pytest.approx([200 / 151] * 2)
    np.testing.assert_array_equal(header.pixel_array, phantom.image)
    np.testing.assert_allclose(read_source(tmp_path / "a.dcm").pixels, phantom.image / 255, atol=1e-6)


def test_same_phantom_same_object() -> None:
    first, again, other = (as_dicom_mg(phantom_of(side)) for side in "LLR")
    assert first == again
    assert len({x.SOPInstanceUID for x in (first, other)} | {first.StudyInstanceUID, first.SeriesInstanceUID}) == 4
