"""What surrounds the network of a model, as numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.inference.resize_matrix import resize_matrix


@dataclass(frozen=True)
class Chain:
    """The deterministic steps before and after the network that its exported graph is given as matrices.

    Args:
        size: (h, w) that the network sees, in pixels.
        crop_region: cut out the region of the image first, without borders and interface.
    """

    size: tuple[int, int]
    crop_region: bool = False

    def inputs(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the inputs of the graph for an image (H, W).

        ``rows @ image @ columns`` is what the network sees, ``rows_back @ probability @ columns_back`` is the map at
        the size of the image, 0 outside the region.
        """
        height, width = pixels.shape
        top, bottom, left, right = _find_region(pixels) if self.crop_region else (0, height, 0, width)
        h, w = self.size
        return {
            "image": pixels,
            "rows": _into(h, height, top, bottom),
            "columns": _into(w, width, left, right).T,
            "rows_back": _back(h, height, top, bottom),
            "columns_back": _back(w, width, left, right).T,
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Read what :meth:`write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["size"]), bool(content["crop_region"]))


def _find_region(pixels: NDArray[np.float32]) -> tuple[int, int, int, int]:
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
