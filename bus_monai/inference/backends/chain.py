"""Crop, resize and back around an exported network, as matrices. Needs NumPy alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import erf, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Box
from bus_monai.inference.backends.backend import SENSITIVITIES, Sensitivity

GAUSSIAN_TRUNCATE = 4.0
"""Standard deviations at which MONAI cuts its Gaussian filter."""


MAX_SIDE_PX = 4096
"""Longest side that a network sees."""


@lru_cache(maxsize=64)
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
        crop_region: cut out the region of the image first, without borders and interface.
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
        the size of the image, 0 outside the region. ``shift`` is that of the gate.
        """
        height, width = pixels.shape
        region = _find_region(pixels) if self.crop_region else Box.of_image(pixels.shape)
        h, w = self.size
        shift = {"shift": np.array([self.shifts[self.sensitivity]], dtype=np.float32)} if self.shifts else {}
        return {
            "image": pixels,
            "rows": _into(h, height, region.top, region.bottom),
            "columns": _into(w, width, region.left, region.right).T,
            "rows_back": _back(h, height, region.top, region.bottom),
            "columns_back": _back(w, width, region.left, region.right).T,
            **shift,
        }

    def at(self, sensitivity: Sensitivity) -> Chain:
        """Return the chain at another sensitivity."""
        return replace(self, sensitivity=SENSITIVITIES.index(sensitivity))

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

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


def _find_region(pixels: NDArray[np.float32]) -> Box:
    from bus_monai.transforms.image_region import find_image_region

    return find_image_region(pixels)


def _into(target: int, length: int, start: int, stop: int) -> NDArray[np.float32]:
    if (start, stop) == (0, length):
        return resize_matrix(length, target, anti_aliasing=True)
    matrix = np.zeros((target, length), dtype=np.float32)
    matrix[:, start:stop] = resize_matrix(stop - start, target, anti_aliasing=True)
    return matrix


def _back(source: int, length: int, start: int, stop: int) -> NDArray[np.float32]:
    if (start, stop) == (0, length):
        return resize_matrix(source, length, anti_aliasing=False)
    matrix = np.zeros((length, source), dtype=np.float32)
    matrix[start:stop] = resize_matrix(source, stop - start, anti_aliasing=False)
    return matrix


GRAPH_FILE = "model.onnx"


CHAIN_FILE = "chain.json"
