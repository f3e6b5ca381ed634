"""Read a mammogram: detect masses, segment them, classify their shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.geometry.box import Box, tight_box
from bus_monai.geometry.lesion import label_components
from bus_monai.mammogram.stages import FoundMass

Detect: TypeAlias = Callable[[Tensor], Sequence[FoundMass]]
Segment: TypeAlias = Callable[[Tensor, Box], Tensor]
Classify: TypeAlias = Callable[[Tensor, Tensor], Mapping[str, float]]

MIN_COMPONENT_SHARE = 0.02
"""Of the box in which a component was found; what is smaller is a speck."""


@dataclass(frozen=True)
class MassReading:
    """A mass with its box, mask, score and shape.

    Args:
        mask: (1, H, W) bool, of this mass alone.
        box: around the mask.
        score: highest of the detections that the mass lies in, in [0, 1]; ``None`` where boxes were given, or where a
            mass beside another was found only through the other's crop.
        shapes: probability of each shape.
    """

    mask: Tensor
    box: Box
    score: float | None
    shapes: Mapping[str, float]

    @property
    def shape(self) -> str:
        """The likeliest shape."""
        return max(self.shapes, key=lambda name: self.shapes[name])


def merge_masks(readings: Sequence[MassReading], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the masses of an image of that shape in one mask (H, W)."""
    merged = np.zeros(shape, dtype=bool)
    for reading in readings:
        merged |= reading.mask[0].numpy()
    return merged


@dataclass(frozen=True)
class MammogramReader:
    """The pipeline of Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2019.112855.

    One departure: masses are the connected components of all that was segmented, so that a second mass at the border
    of a crop, which the paper loses, is kept.

    Args:
        detect: finds boxes in an image (1, H, W) with values in [0, 1].
        segment: turns the image and a box of it into a mask (1, H, W) bool.
        classify: tells the shape of a mask of one mass, from that or from the image as well.
    """

    detect: Detect
    segment: Segment
    classify: Classify

    def __call__(self, image: Tensor, boxes: Sequence[Box] | None = None) -> list[MassReading]:
        """Read an image.

        Args:
            image: (1, H, W), values in [0, 1].
            boxes: of masses, used instead of the detector.

        Returns:
            The masses, surest first, those without score last, and then larger ones first.
        """
        found = [(box, None) for box in boxes] if boxes is not None else [(m.box, m.score) for m in self.detect(image)]
        merged = np.zeros(tuple(image.shape[1:]), dtype=bool)
        for box, _ in found:
            merged |= _without_specks(self.segment(image, box)[0].cpu().numpy(), box)
        labels, areas = label_components(merged)
        masses = [self._read(labels == number, image, found) for number in range(1, len(areas) + 1)]
        return sorted(masses, key=lambda mass: (-(mass.score or 0.0), -int(mass.mask.sum())))

    def _read(
        self, component: NDArray[np.bool_], image: Tensor, found: Sequence[tuple[Box, float | None]]
    ) -> MassReading:
        scores = [score for box, score in found if score is not None and component[box.slices].any()]
        mask = torch.from_numpy(component)[None]
        return MassReading(mask, Box.from_mask(component), max(scores, default=None), self.classify(mask, image))


def _without_specks(mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    labels, areas = label_components(mask)
    kept = np.count_nonzero(areas >= MIN_COMPONENT_SHARE * tight_box(box, mask.shape).area)
    return (labels > 0) & (labels <= kept)
