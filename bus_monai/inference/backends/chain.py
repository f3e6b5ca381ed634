"""Crop, resize and back around an exported network, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Region
from bus_monai.inference.backends.backend import SENSITIVITIES, Prediction, Sensitivity
from bus_monai.transforms.image_region import find_regions

GRAPH_FILE, CHAIN_FILE = "model.onnx", "chain.json"
GAUSSIAN_TRUNCATE = 4.0
"""Standard deviations at which MONAI cuts its Gaussian filter."""


MAX_SIDE_PX = 4096
"""Longest side that a network sees."""


@lru_cache(maxsize=16)  # four for each size of image, of half a megabyte each
def resize_matrix(source: int, target: int, *, anti_aliasing: bool) -> NDArray[np.float32]:
    """Return the matrix (target, source) that resizes one axis as MONAI's ``Resize`` with ``mode="bilinear"`` does.

    That is linear interpolation between the middles of pixels; with ``anti_aliasing`` and fewer pixels than before,
    after a Gaussian filter of standard deviation ``(source / target - 1) / 2``, zeros beyond the edge.

    Args:
        source: pixels before.
        target: pixels after.
        anti_aliasing: filter first.

    Example:
        >>> resize_matrix(2, 1, anti_aliasing=False)
        array([[0.5, 0.5]], dtype=float32)
    """
    positions = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    left = positions.astype(int)
    right = np.minimum(left + 1, source - 1)
    weight = positions - left
    kernel = _gaussian((source / target - 1) / 2 if anti_aliasing and target < source else 0.0)
    tail = len(kernel) // 2
    # so wide that what lies beyond the edges has a place too
    wide = np.zeros((target, source + 2 * tail))
    lines = np.arange(target)
    for offset, share in enumerate(kernel):
        wide[lines, left + offset] += (1 - weight) * share
    for offset, share in enumerate(kernel):
        wide[lines, right + offset] += weight * share
    matrix = wide[:, tail : tail + source].astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _gaussian(sigma: float) -> list[float]:
    """Return the weights of the pixels around one, an odd number of them."""
    if sigma <= 0:
        return [1.0]
    tail = int(max(sigma * GAUSSIAN_TRUNCATE, 0.5) + 0.5)
    edges = [erf((x - 0.5) / (sqrt(2) * sigma)) for x in range(-tail, tail + 2)]
    return [(after - before) / 2 for before, after in pairwise(edges)]


@dataclass(frozen=True)
class Chain:
    """The deterministic steps before and after the network that its exported graph is given as matrices.

    Args:
        size: (h, w) that the network sees, in pixels.
        crop_region: show the network each ultrasound image of the screen alone, see
            :func:`~bus_monai.transforms.image_region.find_regions`.
        shifts: of the gate at each sensitivity, in their order, where the network has one to move.
        sensitivity: number of the one to take.
    """

    size: tuple[int, int]
    crop_region: bool = False
    shifts: tuple[float, ...] = ()
    sensitivity: int = 1

    def inputs(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the inputs of the graph for an image (H, W).

        ``rows @ image @ columns`` is what the network sees, ``rows_back @ probability @ columns_back`` is the map at
        the size of the image. ``shift`` is that of the gate.
        """
        height, width = pixels.shape
        h, w = self.size
        shift = {"shift": np.array([self.shifts[self.sensitivity]], dtype=np.float32)} if self.shifts else {}
        return {
            "image": pixels,
            "rows": resize_matrix(height, h, anti_aliasing=True),
            "columns": resize_matrix(width, w, anti_aliasing=True).T,
            "rows_back": resize_matrix(h, height, anti_aliasing=False),
            "columns_back": resize_matrix(w, width, anti_aliasing=False).T,
            **shift,
        }

    def at(self, sensitivity: Sensitivity) -> Chain:
        """Return the chain at another sensitivity."""
        return replace(self, sensitivity=SENSITIVITIES.index(sensitivity))

    def segment(
        self,
        pixels: NDArray[np.float32],
        regions: Sequence[Region] | None,
        run: Callable[[NDArray[np.float32]], Prediction],
    ) -> Prediction:
        """Segment a screen (H, W), each of its images alone where the region is to be cropped.

        Args:
            pixels: (H, W).
            regions: where its images are; ``None`` to find them.
            run: segments an image (h, w).
        """
        if not self.crop_region:
            return run(pixels)
        return segment_regions(pixels, find_regions(pixels) if regions is None else regions, run)

    def to_dict(self) -> dict[str, Any]:
        """Return what is to be written of it: all but the sensitivity, which is chosen when it is read."""
        shifts = {"shifts": list(self.shifts)} if self.shifts else {}
        return {"size": list(self.size), "crop_region": self.crop_region, **shifts}

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.to_dict()) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: the file is broken, or says something else.
        """
        with reading(path, "JSON", errors=(ValueError,), remedy="export the model again"):
            content = json.loads(path.read_text(encoding="utf-8"))
            content = content if isinstance(content, dict) else {}
            size, crop, shifts = content.get("size"), content.get("crop_region"), content.get("shifts", [])
        sides = size if isinstance(size, list) and len(size) == 2 else ()
        if (
            not sides
            or not isinstance(crop, bool)
            or not all(type(n) is int and 0 < n <= MAX_SIDE_PX for n in sides)
            or not (isinstance(shifts, list) and len(shifts) in (0, len(SENSITIVITIES)))
            or not all(type(shift) in (int, float) for shift in shifts)
        ):
            raise UserError(f"'{path}' does not say what surrounds a graph: export the model again.", path=path)
        return cls((sides[0], sides[1]), crop, tuple(shifts))


def segment_regions(
    pixels: NDArray[np.float32],
    regions: Sequence[Region],
    run: Callable[[NDArray[np.float32]], Prediction],
) -> Prediction:
    """Segment each image of a screen (H, W) alone, black where it shows something else.

    Returns:
        The map, 0 where the screen shows something else, and the distance of the image that is nearest to known ones.
    """
    probability = np.zeros(pixels.shape, dtype=np.float32)
    distances = []
    for region in regions:
        inside = region.inside()
        found = run(np.where(inside, pixels[region.box.slices], np.float32(0)))
        np.copyto(probability[region.box.slices], found.probability, where=inside)
        distances.append(found.distance)
    return Prediction(probability, min(distances))
