"""Segment each file in a process of its own under a limit of memory; print seconds, peak and what became of it.

python -m tests.security.peak_memory FOLDER OUT
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bus_monai.dicom.read
import bus_monai.dicom.segmentation  # noqa: F401 (what is imported once is not imported again in each process)
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from tests.inference.bright_predictor import BrightPredictor

LIMIT = 4 << 30
"""Bytes of address space, which the libraries take much of without using it."""


def segment(path: Path, out: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    predictor: Any = BrightPredictor(out / "weights")
    began = time.monotonic()
    job = SegmentFile(predictor, out, SegmentSettings(("seg", "overlay", "png")), datetime.now(timezone.utc))
    outcome = job(path, path.name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    told = {"file": path.name, "state": outcome.state, "reason": outcome.reason, "gigabytes": round(peak, 3)}
    print(json.dumps(told | {"seconds": round(time.monotonic() - began, 1)}), flush=True)


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    for path in sorted(folder.iterdir()):
        child = os.fork()
        if not child:
            try:
                segment(path, out)
            except BaseException as error:
                print(json.dumps({"file": path.name, "state": "died", "reason": repr(error)}), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
