"""The command ``bus-monai mammo`` in Python."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import monai
import torch

from bus_monai import __version__
from bus_monai.data.datalist import read_datalist
from bus_monai.data.mass_items import mass_items
from bus_monai.data.readers.shape_table import SHAPES
from bus_monai.errors import UserError
from bus_monai.inference.model_key import weights_hashes
from bus_monai.inference.models import TrainedModel
from bus_monai.mammogram.load_stage import load_stage
from bus_monai.mammogram.mammo_job import (
    MASSES,
    ReadImage,
    items_of_cases,
    items_of_folder,
    read_boxes,
    read_mammograms,
)
from bus_monai.mammogram.mammogram_reader import MammogramReader
from bus_monai.mammogram.stage_errors import MassOutcome, StageErrors, measure_stage_errors
from bus_monai.metrics.case_table import write_case_table
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.report.mammogram_report import write_mammogram_report

RUN = "run.json"
STAGE_ERRORS = "stage_errors.csv"
"""A row a true mass."""


def run_mammograms(
    source: Path, out: Path, stages: Sequence[TrainedModel], *, boxes: Path | None = None, split: str | None = None
) -> list[ReadImage]:
    """Read mammograms, write all results and the report.

    Args:
        source: an image, a folder of images, or a data set with a ``datalist.json``.
        out: folder of the results.
        stages: models of detection, segmentation and shape.
        boxes: table of boxes to use instead of the detector.
        split: section of the data set to read, which is then compared with the truth; ``None`` for images alone.

    Raises:
        UserError: there is nothing to read, weights or table are wrong, or something cannot be written.
    """
    began = time.monotonic()
    cases = getattr(read_datalist(source), split) if split else ()
    if split and not cases:
        raise UserError(f"The data set '{source}' has no case in its section '{split}': choose another --split.")
    items = items_of_cases(cases, out) if split else items_of_folder(source, out)
    folder = source.parent if source.is_file() else source
    given = read_boxes(items, folder, boxes) if boxes else None
    reader = MammogramReader(*(load_stage(stage) for stage in stages))
    results = read_mammograms(reader, items, out, boxes=given)
    errors = None
    if split:
        masses = mass_items(source, cases) if (source / SHAPES).is_file() else ()
        shapes = {item["mask"]: SHAPE_CLASSES[item["label"]] for item in masses}
        errors = measure_stage_errors(reader, cases, shapes)
        _write_errors(errors, out)
    record = {
        "bus_monai": __version__,
        "monai": monai.__version__,
        "torch": torch.__version__,
        "stages": {stage.name: _describe(stage) for stage in stages},
        "boxes": str(boxes) if boxes else None,
        "split": split,
        "images": len(results),
        "failed": sum(result.masses is None for result in results),
        "masses": sum(result.masses or 0 for result in results),
        "seconds": round(time.monotonic() - began, 1),
    }
    (out / RUN).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_mammogram_report(
        out,
        out / MASSES,
        {result.item.name: result.item.overlay for result in results if result.masses is not None},
        {result.item.name: result.reason for result in results if result.masses is None},
        errors.table() if errors else None,
    )
    return results


def _describe(stage: TrainedModel) -> dict[str, Any]:
    return {"bundle": stage.bundle.name, "weights_sha256": weights_hashes(stage), "settings": stage.settings}


def _write_errors(errors: StageErrors, out: Path) -> None:
    with (out / STAGE_ERRORS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(MassOutcome)])
        writer.writeheader()
        writer.writerows(asdict(mass) for mass in errors.masses)
    write_case_table(out / "cases_true_boxes.csv", errors.with_box)
    write_case_table(out / "cases_detected.csv", errors.detected)
