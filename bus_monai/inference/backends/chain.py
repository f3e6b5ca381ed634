"""Crop, resize and back around an exported network, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import erf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Region, is_all
from bus_monai.inference.backends.backend import SENSITIVITIES, Prediction, Sensitivity
from bus_monai.transforms.image_region import find_regions

GRAPH_FILE, CHAIN_FILE, INT8_FILE = "model.onnx", "chain.json", "int8.json"
GAUSSIAN_TRUNCATE = 4.0
"""Standard deviations at which MONAI cuts its Gaussian filter."""


MAX_SIDE_PX = 4096
"""Longest side that a network sees."""


BAND_LINES = 16
"""Lines of a band: fewer cost more calls, more multiply more zeros."""


class Band(NamedTuple):
    """Some lines of the matrix that resizes an axis, without the zeros on both sides.

    Args:
        lines: of the target.
        used: pixels of the source that these are made of.
        matrix: (lines, used).
    """

    lines: slice
    used: slice
    matrix: NDArray[np.float32]


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
    first, weights = _weights(source, target, anti_aliasing)
    matrix = _placed(first, weights, np.zeros(target, np.intp), source)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)  # four for each size of image, of some 30 kB each
def resize_bands(source: int, target: int, *, anti_aliasing: bool) -> tuple[Band, ...]:
    """Return the matrix of :func:`resize_matrix` in bands, which take a seventh of its multiplications.

    Example:
        >>> [(band.lines, band.used) for band in resize_bands(40, 20, anti_aliasing=False)]
        [(slice(0, 16, None), slice(0, 32, None)), (slice(16, 20, None), slice(32, 40, None))]
    """
    first, weights = _weights(source, target, anti_aliasing)
    starts = range(0, target, BAND_LINES)
    begins = np.maximum(first[::BAND_LINES], 0)
    matrix = _placed(first, weights, np.repeat(begins, BAND_LINES)[:target], source)
    bands = []
    for start, begin in zip(starts, begins.tolist(), strict=True):
        lines = slice(start, min(start + BAND_LINES, target))
        used = slice(begin, min(int(first[lines.stop - 1]) + weights.shape[1], source))
        bands.append(Band(lines, used, matrix[lines, : used.stop - begin]))
    return tuple(bands)


def _weights(source: int, target: int, anti_aliasing: bool) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for each line its first pixel, which may lie beyond the edge, and the weights (target, n) from there."""
    positions = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    left = positions.astype(np.intp)
    part = (positions - left)[:, None]
    kernel = np.array(_gaussian((source / target - 1) / 2 if anti_aliasing and target < source else 0.0))
    weights = np.zeros((target, len(kernel) + 1))
    weights[:, :-1] = (1 - part) * kernel
    # the last pixel has none to its right, and is its own neighbor
    has_right = left[:, None] + 1 < source
    weights[:, 1:] += np.where(has_right, part * kernel, 0)
    weights[:, :-1] += np.where(has_right, 0, part * kernel)
    return left - len(kernel) // 2, weights


def _placed(
    first: NDArray[np.intp], weights: NDArray[np.float64], begin: NDArray[np.intp], source: int
) -> NDArray[np.float32]:
    """Return the lines as a matrix, each from its ``begin`` on; weights beyond the edges are left out."""
    pixels = first[:, None] + np.arange(weights.shape[1])
    lines, places = np.nonzero((pixels >= 0) & (pixels < source))
    columns = pixels[lines, places] - begin[lines]
    matrix = np.zeros((len(first), source if not begin.any() else int(columns.max()) + 1), np.float32)
    matrix[lines, columns] = weights[lines, places]
    return matrix


def _resize_rows(bands: Sequence[Band], image: NDArray[np.float32]) -> NDArray[np.float32]:
    resized = np.empty((bands[-1].lines.stop, image.shape[1]), np.float32)
    for lines, used, matrix in bands:
        np.matmul(matrix, image[used], out=resized[lines])
    return resized


def _resize_columns(bands: Sequence[Band], image: NDArray[np.float32]) -> NDArray[np.float32]:
    resized = np.empty((len(image), bands[-1].lines.stop), np.float32)
    for lines, used, matrix in bands:
        np.matmul(image[:, used], matrix.T, out=resized[:, lines])
    return resized


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
        return {
            "image": pixels,
            "rows": resize_matrix(height, h, anti_aliasing=True),
            "columns": resize_matrix(width, w, anti_aliasing=True).T,
            "rows_back": resize_matrix(h, height, anti_aliasing=False),
            "columns_back": resize_matrix(w, width, anti_aliasing=False).T,
            **self.shift(),
        }

    def shrink(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network sees (h, w) of an image (H, W)."""
        (height, width), (h, w) = pixels.shape, self.size
        rows = _resize_rows(resize_bands(height, h, anti_aliasing=True), pixels)
        return _resize_columns(resize_bands(width, w, anti_aliasing=True), rows)

    def enlarge(self, probability: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a map (h, w) at the size (H, W) of its image."""
        (height, width), (h, w) = shape, self.size
        columns = _resize_columns(resize_bands(w, width, anti_aliasing=False), probability)
        return _resize_rows(resize_bands(h, height, anti_aliasing=False), columns)

    def shift(self) -> dict[str, NDArray[np.float32]]:
        """Return the input of the gate's shift, where there is a gate to move."""
        return {"shift": np.array([self.shifts[self.sensitivity]], dtype=np.float32)} if self.shifts else {}

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
    if is_all(regions, pixels.shape):
        return run(np.ascontiguousarray(pixels))
    probability = np.zeros(pixels.shape, dtype=np.float32)
    distances = []
    for region, image in images_of_screen(pixels, regions):
        found = run(image)
        np.copyto(probability[region.box.slices], found.probability, where=region.where)
        distances.append(found.distance)
    return Prediction(probability, min(distances))


def images_of_screen(
    pixels: NDArray[np.float32], regions: Sequence[Region]
) -> Iterator[tuple[Region, NDArray[np.float32]]]:
    """Yield each image of a screen (H, W), black where its box shows something else, with its region."""
    for region in regions:
        part = pixels[region.box.slices]
        inside = region.where
        yield region, np.ascontiguousarray(part) if inside is True else np.where(inside, part, np.float32(0))
