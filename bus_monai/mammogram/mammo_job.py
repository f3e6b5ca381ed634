"""Mammograms read one after the other; each result is on disk before the next image is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from bus_monai.data.case import Case
from bus_monai.errors import UserError
from bus_monai.inference.boxed_items import boxed_items
from bus_monai.inference.items import inference_items, item_names
from bus_monai.inference.job_tables import job_tables
from bus_monai.mammogram.mammogram_reader import MammogramReader, MassReading, merge_masks
from bus_monai.mask_file import write_mask
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.report.mass_figure import mass_figure
from bus_monai.source import read_source
from bus_monai.source_image import SourceImage
from bus_monai.transforms.frames import Frame

MASSES = "masses.csv"
"""A row a mass."""
IMAGES = "images.csv"
"""A row an image, also of those that could not be read."""
MASS_COLUMNS = (
    "image", "mass", "score", "top", "left", "bottom", "right", "area_px", "area_mm2", "shape", *SHAPE_CLASSES,
)  # fmt: skip


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
    """What became of an item.

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


def items_of_cases(cases: Sequence[Case], out: Path) -> list[MammogramItem]:
    """List the images of cases by their ids."""
    return [MammogramItem(case.id, case.image, 0, out / f"{case.id}_mask.png") for case in cases]


def read_boxes(items: Sequence[MammogramItem], folder: Path, table: Path) -> dict[Path, list[Frame]]:
    """Read a table of boxes, see ``boxed_items``; return them by the masks' paths.

    Raises:
        UserError: the table cannot be read, or a line names no image or has no box.
    """
    boxes: dict[Path, list[Frame]] = defaultdict(list)
    for item in boxed_items([{"source": i.source, "output": str(i.mask)} for i in items], folder, table):
        boxes[Path(item["output"])].append(Frame(*item["box"].tolist()))
    return boxes


def read_mammograms(
    reader: MammogramReader,
    items: Sequence[MammogramItem],
    out: Path,
    *,
    boxes: Mapping[Path, Sequence[Frame]] | None = None,
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
    columns = {MASSES: MASS_COLUMNS, IMAGES: ("image", "state", "masses", "reason")}
    with job_tables(out, columns, pictures="masks") as (masses, images):
        for item in tqdm(items, desc="reading mammograms"):
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


def _write_pictures(item: MammogramItem, source: SourceImage, readings: Sequence[MassReading]) -> None:
    item.mask.parent.mkdir(parents=True, exist_ok=True)
    write_mask(merge_masks(readings, source.pixels.shape), item.source, item.mask)
    mass_figure(source.pixels, readings).savefig(item.overlay)


def _rows(name: str, readings: Sequence[MassReading], source: SourceImage) -> Iterator[tuple[object, ...]]:
    for number, reading in enumerate(readings, start=1):
        area = int(reading.mask.sum())
        area_mm2 = f"{area * source.spacing_mm[0] * source.spacing_mm[1]:.2f}" if source.spacing_mm else ""
        score = "" if reading.score is None else f"{reading.score:.4f}"
        probabilities = [f"{reading.shapes[shape]:.4f}" for shape in SHAPE_CLASSES]
        yield (name, number, score, *reading.box, area, area_mm2, reading.shape, *probabilities)
