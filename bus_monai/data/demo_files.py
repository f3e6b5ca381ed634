"""Real ultrasound DICOM files to try inference on, from the test data of pydicom."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pydicom.data import get_testdata_file

DEMO_NAMES = ("US1_UNCR.dcm", "US1_J2KR.dcm", "examples_palette.dcm", "examples_ybr_color.dcm")
"""Single frames in three transfer syntaxes and color models, and a cine of 30 frames. None is a breast scan."""


def copy_demo_files(folder: Path) -> list[Path]:
    """Copy the files to ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(str(get_testdata_file(name, download=False)), folder)) for name in DEMO_NAMES]


if __name__ == "__main__":
    copy_demo_files(Path(sys.argv[1]))
