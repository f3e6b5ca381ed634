"""Real sources, labels for them, and the validators of what is made of them."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from bus_monai.dicom.source_header import Algorithm
from tests.conftest import skip

ALGORITHM = Algorithm("lite_unet", "1.2.0", "0123456789abcdef" * 4)
CREATION = datetime(2026, 3, 4, 5, 6, 7, 89)
CINE = "examples_ybr_color.dcm"
SINGLE = "examples_rgb_color.dcm"
CALIBRATED = "OBXXXX1A.dcm"
ULTRASOUND = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (768, 1024, 1, 0.25476696592378156),
    "OBXXXX1A.dcm": (600, 800, 1, 0.26228787661969977),
    "OBXXXX1A_2frame.dcm": (600, 800, 2, 0.26228787661969977),
    "OBXXXX1A_expb.dcm": (600, 800, 1, 0.26228787661969977),
    "OBXXXX1A_expb_2frame.dcm": (600, 800, 2, 0.26228787661969977),
    "OBXXXX1A_rle.dcm": (600, 800, 1, 0.26228787661969977),
    "OBXXXX1A_rle_2frame.dcm": (600, 800, 2, 0.26228787661969977),
    "US1_J2KI.dcm": (480, 640, 1, None),
    "US1_J2KR.dcm": (480, 640, 1, None),
    "US1_UNCI.dcm": (480, 640, 1, None),
    "US1_UNCR.dcm": (480, 640, 1, None),
    "color-pl.dcm": (120, 256, 1, None),
    "color-px.dcm": (120, 256, 1, None),
    "color3d_jpeg_baseline.dcm": (480, 640, 120, 0.5104970559477806),
    "gdcm-US-ALOKA-16.dcm": (480, 640, 1, 0.3826530650258064),
    "gdcm-US-ALOKA-16_big.dcm": (480, 640, 1, 0.3826530650258064),
    "ExplVR_BigEnd.dcm": (60, 80, 1, None),
    "examples_jpeg2k.dcm": (480, 640, 1, None),
    "examples_palette.dcm": (350, 800, 1, 0.26228787661969977),
    "examples_rgb_color.dcm": (240, 320, 1, None),
    "examples_ybr_color.dcm": (240, 320, 30, 0.5104970559477806),
}
SOURCES = list(ULTRASOUND)


def source_of(name: str) -> Dataset:
    return pydicom.dcmread(Path(str(get_testdata_file(name))), stop_before_pixels=True)


def labels_of(source: Dataset) -> NDArray[np.int32]:
    """Two lesions in the first frame, numbered 1 and 3, the third lesion again in the last."""
    labels = np.zeros((int(source.get("NumberOfFrames") or 1), source.Rows, source.Columns), np.int32)
    labels[0, 5:25, 9:40] = 1
    labels[0, 12:14, 20:23] = 0
    labels[-1, 30:41, 3:20] = 3
    labels[0, 31:33, 0:7] = 3
    return labels


def errors_of(path: Path) -> list[str]:
    """What dciodvfy finds, but for identifiers that the real source already has wrong."""
    tool = shutil.which("dciodvfy")
    if not tool:
        skip("no DICOM validator: install dicom3tools")
    done = subprocess.run([tool, path], capture_output=True, text=True, errors="replace", check=False)
    assert done.stderr
    lines = done.stderr.splitlines()
    return [line for line in lines if line.startswith("Error") and '"999.999.2.' not in line]


def dsrdump(path: Path) -> str:
    tool = shutil.which("dsrdump")
    if not tool:
        skip("no reader of reports: install dcmtk")
    done = subprocess.run([tool, "+Pc", "+Pl", path], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shorten(cine: Path, frames: int) -> None:
    """Keep the first frames of a compressed cine."""
    data = pydicom.dcmread(cine)
    whole = generate_frames(data.PixelData, number_of_frames=data.NumberOfFrames)
    data.PixelData = encapsulate(list(islice(whole, frames)))
    data.NumberOfFrames = frames
    data.save_as(cine)
