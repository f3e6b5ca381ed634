"""Morphological cleaning of a mask."""

from __future__ import annotations

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import Transform
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from bus_monai.transforms.gray import EachKeyd, as_image, unit_pixels

SQUARE_2, SQUARE_3 = np.ones((2, 2), dtype=bool), np.ones((3, 3), dtype=bool)


class Morphology(Transform):
    """Closing by 3x3, erosion by 2x2, dilation by 3x3 of a mask (1, H, W) with values in {0, 1}; metadata stay.

    Holes and gaps of up to two pixels are filled, and what is one pixel wide goes. The post-processing of Singh et al.,
    Expert Systems with Applications 2020, doi 10.1016/j.eswa.2019.112855, by SciPy; that the elements are square is not
    published.

    A solid part that spans pixels ``a`` to ``b`` on an axis ends up spanning ``a`` to ``b + 1``. Its center moves by
    half a pixel down and to the right, the least possible, since the chain adds one pixel to its width; this fixes the
    anchor of the 2x2 element at its lower right pixel, as OpenCV does. At the border of the image a mask is taken to go
    on: what touches it keeps touching it.

    Raises:
        UserError: a mask of several channels, or values outside of [0, 1].

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 9, 9)
        >>> mask[0, 2:6, 2:6] = 1
        >>> mask[0, 4, 4] = 0
        >>> Morphology()(mask).sum()
        tensor(25.)
    """

    def __call__(self, mask: Tensor) -> Tensor:
        """Return the cleaned mask."""
        pixels = unit_pixels(mask, "Morphology") > 0.5
        closed = _erode(binary_dilation(pixels, SQUARE_3), SQUARE_3)
        return as_image(binary_dilation(_erode(closed, SQUARE_2), SQUARE_3), mask)


class Morphologyd(EachKeyd):
    """Dictionary version of :class:`Morphology`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, Morphology(), allow_missing_keys)


def _erode(pixels: NDArray[np.bool_], element: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # SciPy's own closing erodes with zeros outside, and so eats what touches the border
    eroded: NDArray[np.bool_] = binary_erosion(pixels, element, border_value=1)
    return eroded
