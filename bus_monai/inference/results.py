"""The table of a job, and what made it: ``results.csv`` and ``run.json``."""

from __future__ import annotations

import csv
import os
import platform
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus_monai import __version__
from bus_monai.bundle.registry import installed_version
from bus_monai.errors import writing
from bus_monai.geometry.lesion import MAX_LESIONS
from bus_monai.inference.manifest import Entry, Manifest, Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import RERUN_HINT
from bus_monai.io.atomic import atomic_file, plain_cell, write_json
from bus_monai.io.ours import first_line, is_marked

RESULTS_FILE = "results.csv"
"""One row per lesion, an image without lesion, or a file that failed or was skipped."""
RUN_FILE = "run.json"
COUNTED = ("done", "failed", "skipped", "not assessed", "new", "crowded", "lesions")
"""What ``run.json`` counts."""
LESION_COLUMNS = (
    "file", "output", "state", "lesions", "lesion", "frame", "first_frame", "last_frame", "unit", "area", "long_axis",
    "short_axis", "perimeter", "depth_width_ratio", "orientation_deg", "circularity", "row", "column", "top", "left",
    "height", "width", "probability", "note", "reason",
)  # fmt: skip
RECORDED_PACKAGES = (
    "numpy", "scipy", "opencv-python-headless", "scikit-image", "pillow", "pydicom", "highdicom", "openvino",
    "onnxruntime", "torch", "monai",
)  # fmt: skip


def write_results(manifest: Manifest, out: Path) -> Counter[str]:
    """Write the table of all that is known, in the order of the paths, and count it."""
    totals: Counter[str] = Counter()
    with (
        writing(out / RESULTS_FILE, option="--out", kept=RERUN_HINT),
        atomic_file(out / RESULTS_FILE) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, LESION_COLUMNS, restval="", extrasaction="ignore")
        table.writeheader()
        for entry in manifest.entries():
            outcome = _as_it_is_now(entry)
            totals[outcome.state] += 1
            shared = {"file": entry.path, "output": entry.name, "state": outcome.state, "reason": outcome.reason}
            if not outcome.rows and outcome.state != "new":
                table.writerow({key: plain_cell(value) for key, value in shared.items()})
            totals["crowded"] += any(row.get("surplus", 0) for row in outcome.rows)
            for row in outcome.rows:
                totals["lesions"] += "number" in row
                cells = {"lesion": row.get("number", ""), **row, **shared}
                table.writerow({key: plain_cell(value) for key, value in cells.items()})
    return totals


def _as_it_is_now(entry: Entry) -> Outcome:
    """Return what is known of an item, with a word about a file that is no longer there."""
    known = entry.outcome
    # the name of a path that is no Unicode is not its own, see _printable
    if "\\" in entry.path or os.path.lexists(entry.path):
        return known
    if known.state == "new":
        return Outcome("failed", f"'{entry.path}' was removed before it was segmented: put it back or use --restart.")
    return replace(known, reason=f"{known.reason} The file is no longer there.".strip())


def write_run(
    out: Path, predictor: Predictor, settings: SegmentSettings, totals: Counter[str], told: dict[str, Any]
) -> None:
    """Write what made the results, and how many files became what.

    Args:
        out: folder of the results.
        predictor: what found the lesions.
        settings: of the job.
        totals: as :func:`write_results` counts.
        told: more of the run, such as its times.

    Raises:
        UserError: it cannot be written.
    """
    record = {
        "bus_monai": __version__,
        "python": platform.python_version(),
        "packages": {name: found for name in RECORDED_PACKAGES if (found := installed_version(name))},
        "model": {
            "bundle": predictor.name,
            "version": predictor.version,
            "weights_sha256": predictor.weights_hash,
            "settings": predictor.model.settings,
        },
        "settings": {
            "write": list(settings.kinds),
            "threshold": settings.threshold,
            "modality": settings.modality,
            "min_area": settings.min_area,
            "any_body_part": settings.any_body_part,
            "most_lesions": MAX_LESIONS,
            "backend": predictor.backend,
            "precision": predictor.precision,
            "tta": predictor.tta,
            "sensitivity": predictor.sensitivity,
        },
        "counts": {key: totals[key] for key in COUNTED},
        **told,
    }
    with writing(out / RUN_FILE, option="--out"):
        write_json(out / RUN_FILE, record)


def is_results(path: Path) -> bool:
    """Whether a file of one of these names was written here."""
    return is_marked(path) or first_line(path).startswith(",".join(LESION_COLUMNS[:3]))
