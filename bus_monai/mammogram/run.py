"""Read mammograms one after the other; each result is on disk before the next image is opened."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import monai
import torch
from tqdm import tqdm

from bus_monai import __version__
from bus_monai.bundle.models import TrainedModel, weights_hashes
from bus_monai.data.datalist import read_datalist
from bus_monai.data.items import boxed_items, inference_items, item_names, mass_items
from bus_monai.data.readers.shapes import SHAPES_FILE
from bus_monai.errors import UserError
from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.inference.write_outputs import job_tables
from bus_monai.io.atomic import plain_cell, write_json, write_table
from bus_monai.io.image import SourceImage
from bus_monai.io.masks import mask_suffix, write_mask
from bus_monai.io.opened import source_kind
from bus_monai.io.ours import check_replaced
from bus_monai.mammogram.reader import MammogramReader, MassReading, merge_masks
from bus_monai.mammogram.stage_errors import MassOutcome, StageErrors, measure_stage_errors
from bus_monai.mammogram.stages import load_stage
from bus_monai.metrics.case_table import write_case_table
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.report.image_figures import mass_figure
from bus_monai.report.mammogram_report import STAGES_TABLE, write_mammogram_report
from bus_monai.report.page import REPORT_FILE
from bus_monai.report.paper import check_paper_files, save_figure
from bus_monai.sources.read import read_source

MASSES_FILE = "masses.csv"
"""One row per mass."""
IMAGES_FILE = "images.csv"
"""One row per image, also of those that could not be read."""
MASS_COLUMNS = (
    "image", "mass", "score", *BOX_COLUMNS, "area_px", "area_mm2", "shape", *SHAPE_CLASSES,
)  # fmt: skip
RUN_FILE = "run.json"
STAGE_ERRORS_FILE = "stage_errors.csv"
"""One row per true mass."""


@dataclass(frozen=True)
class MammogramItem:
    """An image to read.

    Args:
        name: what tables call it.
        source: its file.
        frame: number of the frame, from 0.
        mask: file to write.
    """

    name: str
    source: Path
    frame: int
    mask: Path

    @property
    def overlay(self) -> Path:
        """The picture to write."""
        return self.mask.with_name(self.mask.name.split("_mask.")[0] + "_overlay.png")


@dataclass(frozen=True)
class ReadImage:
    """The result of an item.

    Args:
        item: which.
        masses: how many were found; ``None`` where the image could not be read.
        reason: why it could not.
    """

    item: MammogramItem
    masses: int | None
    reason: str = ""


def items_of_folder(source: Path, out: Path) -> list[MammogramItem]:
    """List an image file, or the images below a folder, in the order of their paths; ``out`` mirrors the folder."""
    items = inference_items(source, out)
    return [
        MammogramItem(name, Path(item["source"]), item["frame"], Path(item["output"]))
        for item, name in zip(items, item_names(items, source), strict=True)
    ]


def read_boxes(items: Sequence[MammogramItem], folder: Path, table: Path) -> dict[Path, list[Box]]:
    """Read a table of boxes, see ``boxed_items``; return them by the masks' paths.

    Raises:
        UserError: the table cannot be read, or a line names no image or has no box.
    """
    boxes: dict[Path, list[Box]] = defaultdict(list)
    outputs = [{"source": i.source, "frame": i.frame, "output": str(i.mask)} for i in items]
    for item in boxed_items(outputs, folder, table):
        boxes[Path(item["output"])].append(Box(*item["box"].tolist()))
    return boxes


def read_mammograms(
    reader: MammogramReader,
    items: Sequence[MammogramItem],
    out: Path,
    *,
    boxes: Mapping[Path, Sequence[Box]] | None = None,
) -> list[ReadImage]:
    """Write mask and overlay of each image, ``masses.csv`` and ``images.csv``.

    An image that cannot be read is a row with a reason; the others are done.

    Args:
        reader: the pipeline.
        items: images to read.
        out: folder of the tables, made where missing.
        boxes: by the masks' paths, used instead of the detector; an image without boxes has no mass.

    Raises:
        UserError: something cannot be written.
    """
    results = []
    check_replaced(_replaced(items, out), option="--out")
    check_paper_files(out, tables=[STAGES_TABLE], option="--out")
    columns = {MASSES_FILE: MASS_COLUMNS, IMAGES_FILE: ("image", "state", "masses", "reason")}
    with job_tables(out, columns, pictures="masks") as (masses, images):
        for item in tqdm(items, desc="reading mammograms", disable=None):
            try:
                source = read_source(item.source, item.frame)
                image = torch.from_numpy(source.pixels.copy())[None]
                readings = reader(image, boxes.get(item.mask, ()) if boxes is not None else None)
            except UserError as error:
                results.append(ReadImage(item, None, str(error)))
                images.writerow((item.name, "failed", "", str(error)))
                continue
            _write_pictures(item, source, readings)
            masses.writerows(_rows(item.name, readings, source))
            images.writerow((item.name, "done", len(readings), ""))
            results.append(ReadImage(item, len(readings)))
    return results


def _replaced(items: Sequence[MammogramItem], out: Path) -> Iterator[Path]:
    """Yield what will be written beside the tables."""
    yield out / REPORT_FILE
    yield out / RUN_FILE
    for item in items:
        yield from (item.mask, item.overlay, item.overlay.with_suffix(".svg"))


def _write_pictures(item: MammogramItem, source: SourceImage, readings: Sequence[MassReading]) -> None:
    item.mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(merge_masks(readings, source.pixels.shape), item.source, item.mask)
    save_figure(mass_figure(source.pixels, readings), item.overlay)


def _rows(name: str, readings: Sequence[MassReading], source: SourceImage) -> Iterator[tuple[object, ...]]:
    for number, reading in enumerate(readings, start=1):
        area = int(reading.mask.sum())
        area_mm2 = f"{area * source.spacing_mm[0] * source.spacing_mm[1]:.2f}" if source.spacing_mm else ""
        score = "" if reading.score is None else f"{reading.score:.4f}"
        probabilities = [f"{reading.shapes[shape]:.4f}" for shape in SHAPE_CLASSES]
        yield (name, number, score, *reading.box.sides, area, area_mm2, reading.shape, *probabilities)


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
    known = [
        MammogramItem(case.id, case.image, 0, out / (case.id + mask_suffix(source_kind(case.image)))) for case in cases
    ]
    items = known or items_of_folder(source, out)
    folder = source.parent if source.is_file() else source
    given = read_boxes(items, folder, boxes) if boxes else None
    reader = MammogramReader(*(load_stage(stage) for stage in stages))
    results = read_mammograms(reader, items, out, boxes=given)
    errors = None
    read = [case for case, result in zip(cases, results, strict=True) if result.masses is not None] if split else []
    if read:
        masses = mass_items(source, read, required=False) if (source / SHAPES_FILE).is_file() else ()
        shapes = {item["mask"]: SHAPE_CLASSES[item["label"]] for item in masses}
        errors = measure_stage_errors(reader, read, shapes)
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
    write_json(out / RUN_FILE, record)
    write_mammogram_report(
        out,
        out / MASSES_FILE,
        {result.item.name: result.item.overlay for result in results if result.masses is not None},
        {result.item.name: result.reason for result in results if result.masses is None},
        errors.table() if errors else None,
    )
    return results


def _describe(stage: TrainedModel) -> dict[str, Any]:
    return {"bundle": stage.bundle.name, "weights_sha256": weights_hashes(stage), "settings": stage.settings}


def _write_errors(errors: StageErrors, out: Path) -> None:
    rows = (map(plain_cell, astuple(mass)) for mass in errors.masses)
    write_table(out / STAGE_ERRORS_FILE, [field.name for field in fields(MassOutcome)], rows)
    write_case_table(out / "cases_true_boxes.csv", errors.with_box)
    write_case_table(out / "cases_detected.csv", errors.detected)
