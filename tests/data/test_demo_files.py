"""Demo files: breast phantoms that are calibrated, and two real scans that show none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bus_monai.data.demo_files import CINE_FRAMES, OTHER_NAMES, PHANTOM_NAMES, SCREEN_SIZE, write_demo_files
from bus_monai.geometry.box import Box, mask_of
from bus_monai.sources.read import read_all_frames
from bus_monai.transforms.image_region import FrameRegions, find_regions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert [path.name for path in write_demo_files(folder)] == [*PHANTOM_NAMES, *OTHER_NAMES]
    return folder


@pytest.mark.parametrize("name", PHANTOM_NAMES)
def test_phantoms_are_calibrated_and_found_on_their_screen(folder: Path, name: str) -> None:
    header = pydicom.dcmread(folder / name, stop_before_pixels=True)
    assert (header.Modality, header.BodyPartExamined) == ("US", "BREAST")
    frames = list(read_all_frames(folder / name))
    assert len(frames) == (CINE_FRAMES if "cine" in name else 1)
    assert len(frames[0].images) == (2 if "dual" in name else 1)
    assert frames[0].spacing_mm == pytest.approx((0.1, 0.1), rel=0.5)
    declared = np.zeros(SCREEN_SIZE, dtype=bool)
    for box in frames[0].images:
        declared[box.slices] = True
    regions = FrameRegions()
    for frame in frames:
        assert frame.pixels.shape == SCREEN_SIZE
        for found in (regions(frame.pixels, frame.images), find_regions(frame.pixels)):
            mask = mask_of(found, SCREEN_SIZE)
            assert (mask & declared).sum() / (mask | declared).sum() > 0.95


def test_the_cine_moves_and_the_screen_does_not(folder: Path) -> None:
    first, *_, last = read_all_frames(folder / "breast_cine.dcm")
    (box,) = first.images
    # losses of JPEG reach over 16 columns where color is coded at half the width
    apart = np.ones(SCREEN_SIZE, dtype=bool)
    apart[Box(box.top - 16, box.left - 16, box.bottom + 16, box.right + 16).slices] = False
    np.testing.assert_array_equal(first.pixels[apart], last.pixels[apart])
    assert np.abs(first.pixels - last.pixels)[box.slices].mean() > 0.05


def test_phantoms_are_the_same_each_time_and_valid(folder: Path, tmp_path: Path) -> None:
    write_demo_files(tmp_path / "again")
    for name in PHANTOM_NAMES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy (Debian: dicom3tools)")
    for name in PHANTOM_NAMES:
        said = subprocess.run(["dciodvfy", folder / name], capture_output=True, text=True, check=False).stderr
        assert "Error" not in said, said
