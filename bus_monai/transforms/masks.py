"""Transforms of a predicted mask: morphology, and the way back to the source's size and geometry."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.misc import ensure_tuple
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from bus_monai.errors import writing
from bus_monai.io.masks import source_affine, stored_mask, write_mask
from bus_monai.sources.read import read_source
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
    """Dictionary version of :class:`Morphology`.

    Example:
        >>> import torch
        >>> line = torch.zeros(1, 9, 9)
        >>> line[0, 4] = 1
        >>> float(Morphologyd("pred")({"pred": line})["pred"].sum())
        0.0
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, Morphology(), allow_missing_keys)


def _erode(pixels: NDArray[np.bool_], element: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # SciPy's own closing erodes with zeros outside, and so eats what touches the border
    eroded: NDArray[np.bool_] = binary_erosion(pixels, element, border_value=1)
    return eroded


class SaveMaskd(MapTransform):
    """Threshold probabilities and write them where the item says.

    The mask of a NIfTI file is a NIfTI file with its affine and shape; that of any other source is a PNG with 0 and
    255, as large as the source. Files are written beside their place and renamed.

    An item that does not say where is saved by whoever runs the bundle, such as MONAI Label: the mask takes the place
    of the probabilities, as MONAI's writers want it: (1, W, H, 1), columns first, with the affine of a NIfTI file.

    Args:
        keys: probabilities (1, H, W) in [0, 1], H and W those of the source.
        threshold: from which on a pixel is lesion.

    An item has the paths of its ``source`` and of the mask, its ``output``, whose folder is made when missing, and may
    have ``merge``: where true, the mask is joined with OR to the one that is there.

    Raises:
        UserError: the mask cannot be written, or there are several channels or values outside of [0, 1].

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> pred = MetaTensor(torch.tensor([[[0.2, 0.8]]]), meta={"filename_or_obj": "a.png"})
        >>> SaveMaskd()({"pred": pred})["pred"].flatten().tolist()
        [0, 1]
    """

    def __init__(self, keys: KeysCollection = "pred", *, threshold: float = 0.5) -> None:
        super().__init__(keys)
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the mask of each key and return ``data`` unchanged, or with the mask of 0 and 1 as uint8."""
        item = dict(data)
        for key in self.key_iterator(item):
            mask = unit_pixels(data[key], "SaveMaskd") >= self.threshold
            if "output" not in item:
                path = Path(data[key].meta["filename_or_obj"])
                affine = source_affine(path)
                values = torch.from_numpy(stored_mask(mask, path).astype(np.uint8))
                item[key] = MetaTensor(values[None, ..., None], torch.from_numpy(affine))
                continue
            source, output = (Path(ensure_tuple(data[k])[0]) for k in ("source", "output"))
            if data.get("merge"):
                mask = mask | (read_source(output).pixels > 0)
            with writing(output, option="output_dir", kept="the masks written before are whole"):
                write_mask(mask, source, output)
        return item
