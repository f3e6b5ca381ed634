"""What writes DICOM starts without the network libraries."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    "bus_monai.geometry.lesion",
    "bus_monai.geometry.lesion",
    "bus_monai.dicom.measurement_report",
    "bus_monai.dicom.read",
    "bus_monai.dicom.secondary_capture",
    "bus_monai.dicom.segmentation",
    "bus_monai.dicom.source_header",
)


def test_neither_torch_nor_monai_is_imported() -> None:
    code = f"import sys, {', '.join(MODULES)}; print(*{{'torch', 'monai'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
