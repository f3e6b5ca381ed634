"""Histogram equalization."""

from __future__ import annotations

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import Transform
from skimage.exposure import equalize_adapthist, equalize_hist
from torch import Tensor

from bus_monai.errors import check_choice
from bus_monai.transforms.gray import EachKeyd, as_image, unit_pixels

EQUALIZATION_METHODS = ("none", "global", "clahe")


class HistogramEqualization(Transform):
    """Equalize the histogram of an image (1, H, W) with values in [0, 1]; metadata stay.

    Args:
        method: ``none``; ``global``, over the whole image; or ``clahe``, contrast limited and in tiles of an eighth of
            the image (Zuiderveld, Graphics Gems IV, 1994). Both by scikit-image.
        clip_limit: of ``clahe``, in [0, 1]; larger gives more contrast.

    Raises:
        UserError: unknown method, or an image of several channels or outside of [0, 1].

    Example:
        >>> import torch
        >>> dark = torch.linspace(0, 0.2, 64).reshape(1, 8, 8)
        >>> float(HistogramEqualization("global")(dark).max())
        1.0
    """

    def __init__(self, method: str = "clahe", *, clip_limit: float = 0.01) -> None:
        check_choice("equalization", method, EQUALIZATION_METHODS)
        self.method = method
        self.clip_limit = clip_limit

    def __call__(self, image: Tensor) -> Tensor:
        """Return the equalized image; a constant one stays as it is."""
        if self.method == "none":
            return image
        pixels = unit_pixels(image, "HistogramEqualization")
        if pixels.min() == pixels.max():
            return image
        if self.method == "global":
            equalized = equalize_hist(pixels)
        else:
            # scikit-image refuses what rounding has left beyond 1
            equalized = equalize_adapthist(np.clip(pixels, 0, 1), clip_limit=self.clip_limit)
        return as_image(np.clip(equalized, 0, 1).astype(np.float32), image)


class HistogramEqualizationd(EachKeyd):
    """Dictionary version of :class:`HistogramEqualization`.

    Example:
        >>> import torch
        >>> dark = torch.linspace(0, 0.2, 64).reshape(1, 8, 8)
        >>> float(HistogramEqualizationd("image", "global")({"image": dark})["image"].max())
        1.0
    """

    def __init__(
        self,
        keys: KeysCollection,
        method: str = "clahe",
        *,
        clip_limit: float = 0.01,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, HistogramEqualization(method, clip_limit=clip_limit), allow_missing_keys)
