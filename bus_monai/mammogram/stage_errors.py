"""Errors of the stages and how they propagate, on mammograms with known masses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bus_monai.data.datalist import Case
from bus_monai.data.items import case_crops
from bus_monai.geometry.box import Box
from bus_monai.io.image import read_mask
from bus_monai.mammogram.reader import MammogramReader, MassReading, merge_masks
from bus_monai.metrics.aggregate import grouped_mean, summarize
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.classification import Interval
from bus_monai.metrics.segmentation import mask_dice, score_case
from bus_monai.sources.read import read_source

IMAGE_FIGURES = {"dice": "Dice of an image", "iou": "IoU of an image"}


@dataclass(frozen=True)
class MassOutcome:
    """A true mass with the result of each stage.

    Args:
        id: of its case.
        mass: its number in the case, from 1.
        group: of the case.
        shape: the true one; empty where it is not known or none of the four.
        shape_of_mask: told from the true mask.
        dice_with_box: of the component that overlaps it most where the true boxes were given, 0 where none does.
        shape_with_box: told from that component; empty where there is none.
        dice_detected: the same from detected boxes.
        shape_detected: the same from detected boxes.
    """

    id: str
    mass: int
    group: str
    shape: str
    shape_of_mask: str
    dice_with_box: float
    shape_with_box: str
    dice_detected: float
    shape_detected: str


@dataclass(frozen=True)
class StageErrors:
    """Scores of each stage with true input and with the output of the stage before.

    Args:
        masses: one row per true mass.
        with_box: scores of each image where the true boxes were given.
        detected: scores of each image from detected boxes.
    """

    masses: Sequence[MassOutcome]
    with_box: Sequence[CaseRow]
    detected: Sequence[CaseRow]

    def dice(self) -> dict[str, Interval]:
        """Return the mean Dice of the masses by where the boxes came from."""
        groups = [mass.group for mass in self.masses]
        return {
            "true boxes": grouped_mean([mass.dice_with_box for mass in self.masses], groups),
            "detected boxes": grouped_mean([mass.dice_detected for mass in self.masses], groups),
        }

    def shape_accuracy(self) -> dict[str, Interval]:
        """Return the share of masses whose shape is told right by what it was told from; a missed mass is wrong."""
        known = [mass for mass in self.masses if mass.shape]
        if not known:
            return {}
        told = {
            "true masks": [mass.shape_of_mask == mass.shape for mass in known],
            "masks within true boxes": [mass.shape_with_box == mass.shape for mass in known],
            "masks within detected boxes": [mass.shape_detected == mass.shape for mass in known],
        }
        return {name: grouped_mean(right, [mass.group for mass in known]) for name, right in told.items()}

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each stage and what it was given, with ``figure``, ``value``, ``low`` and ``high``."""
        rows: list[dict[str, Any]] = []

        def add(stage: str, given: str, figure: str, interval: Interval) -> None:
            rows.append({"stage": stage, "given": given, "figure": figure, **asdict(interval)})

        for summary in summarize(self.detected, "detection"):
            figure = summary.metric.replace("_", " ")
            add("detection", "images", figure, Interval(summary.mean, summary.low, summary.high))
        for given, mean in self.dice().items():
            add("segmentation", given, "Dice of a mass", mean)
        for given, cases in (("true boxes", self.with_box), ("detected boxes", self.detected)):
            for summary in summarize(cases, "lesion"):
                if summary.metric in IMAGE_FIGURES:
                    interval = Interval(summary.mean, summary.low, summary.high)
                    add("segmentation", given, IMAGE_FIGURES[summary.metric], interval)
        for given, share in self.shape_accuracy().items():
            add("shape", given, "accuracy", share)
        return rows


def measure_stage_errors(reader: MammogramReader, cases: Sequence[Case], shapes: Mapping[str, str]) -> StageErrors:
    """Read each case twice, with its true boxes and with detected ones.

    Args:
        reader: the pipeline.
        cases: with one mask per mass.
        shapes: true shape by the path of the mask, as far as they are known.

    Raises:
        UserError: an image or a mask cannot be read, or a mask of a benign or malignant image is empty.
    """
    masses: list[MassOutcome] = []
    with_box: list[CaseRow] = []
    detected: list[CaseRow] = []
    for case in tqdm(cases, desc="comparing with the truth", disable=None):
        source = read_source(case.image)
        image = torch.from_numpy(source.pixels.copy())[None]
        truths = [read_mask(path, source.pixels.shape) for path in case.masks]
        boxes = [Box(*item["box"].tolist()) for item in case_crops(case)]
        given, found = reader(image, boxes), reader(image)
        merged = np.any([np.zeros(source.pixels.shape, dtype=bool), *truths], axis=0)
        for rows, readings in ((with_box, given), (detected, found)):
            predicted = merge_masks(readings, merged.shape).astype(np.float32)
            scores = score_case(predicted, merged, spacing_mm=source.spacing_mm)
            rows.append(CaseRow.of(scores, id=case.id, group=case.group, diagnosis=case.diagnosis))
        for number, (path, truth) in enumerate(zip(case.masks, truths, strict=True), start=1):
            if not truth.any():
                continue
            told = reader.classify(torch.from_numpy(truth)[None], image)
            dice_with_box, shape_with_box = _best(given, truth)
            dice_detected, shape_detected = _best(found, truth)
            masses.append(
                MassOutcome(
                    id=case.id,
                    mass=number,
                    group=case.group,
                    shape=shapes.get(str(path), ""),
                    shape_of_mask=max(told, key=lambda name: told[name]),
                    dice_with_box=dice_with_box,
                    shape_with_box=shape_with_box,
                    dice_detected=dice_detected,
                    shape_detected=shape_detected,
                )
            )
    return StageErrors(masses, with_box, detected)


def _best(readings: Sequence[MassReading], truth: NDArray[np.bool_]) -> tuple[float, str]:
    """Return Dice and shape of the reading that overlaps ``truth`` most."""
    best = (0.0, "")
    for reading in readings:
        dice = mask_dice(reading.mask[0].numpy(), truth)
        if dice > best[0]:
            best = (dice, reading.shape)
    return best
