"""Lesions covered with the tissue beside them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bus_monai.transforms.gray import as_image, check_gray

MARGIN_SHARE, SOFT_SHARE = 0.02, 0.012
"""How far beyond its outline a lesion is covered, and how softly the cover ends, as shares of the side."""
MIN_BESIDE_SHARE = 0.12
"""Tissue on one side of what is covered must be this wide, as a share of the image's width."""
DEPTH_SHARE, BRIGHTNESS_SHARE = 0.05, 0.1
"""What covers is taken from up to this share of the height above or below, and is that much brighter or darker."""


class RandCoverLesiond(RandomizableTransform, MapTransform):
    """Cover the lesion of image and label (1, H, W) with tissue of about the same depth: an image of normal tissue.

    All that surrounds the lesion stays, calipers and words among it. A data set without normal images thereby has some
    that look as its others do, so that its look no longer tells that there is a lesion. As often, a place of the
    lesion's shape elsewhere is covered and the lesion stays: the traces of covering tell nothing either.

    Args:
        keys: the image, and the mask.
        prob: that the lesion is covered, and that another place is; at most 0.5.

    Example:
        >>> import torch
        >>> tissue = 0.2 + 0.1 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> label = torch.zeros(1, 64, 64)
        >>> label[0, 24:36, 24:36] = 1
        >>> covers = RandCoverLesiond(prob=0.5).set_random_state(seed=1)
        >>> kept = [int(covers({"image": tissue - 0.1 * label, "label": label})["label"].sum()) for _ in range(4)]
        >>> sorted(set(kept))
        [0, 144]
    """

    def __init__(self, keys: KeysCollection = ("image", "label"), prob: float = 0.2) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 2 * prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cover the lesion or another place."""
        item = dict(data)
        self.randomize(None)
        image, label = self.keys
        mask = np.asarray(item[label][0]) > 0
        if not self._do_transform or not mask.any():
            return item
        check_gray(item[image], "RandCoverLesiond")
        pixels, covers_lesion = np.asarray(item[image][0]), self.R.uniform() < 0.5
        place = mask if covers_lesion else _elsewhere(mask, self.R)
        covered = None if place is None else cover(pixels, place, self.R)
        if covered is not None:
            item[image] = as_image(covered, item[image])
            if covers_lesion:
                item[label] = item[label] * 0
        return item


def cover(
    pixels: NDArray[np.floating], place: NDArray[np.bool_], random: np.random.RandomState
) -> NDArray[np.float32] | None:
    """Cover a place with the tissue left and right of it, mirrored at its edges.

    Args:
        pixels: (H, W), values in [0, 1].
        place: (H, W), not empty.
        random: the source of chance.

    Returns:
        The image, or ``None`` where neither side has tissue enough.
    """
    height, width = pixels.shape
    soft = SOFT_SHARE * width
    # a blurred outline at this height lies a margin outside of the place
    alpha = np.clip(gaussian_filter(place.astype(np.float32), MARGIN_SHARE * width) * 20 - 1, 0, 1)
    alpha = gaussian_filter(alpha, soft)
    columns = np.flatnonzero((alpha > 0.02).any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    sides = [(left >= MIN_BESIDE_SHARE * width, left), (width - right >= MIN_BESIDE_SHARE * width, width - right)]
    if not any(enough for enough, _ in sides):
        return None
    at = np.arange(left, right)
    from_left, from_right = _folded(at, 0, max(left, 1)), _folded(at, min(right, width - 1), width)
    share = sides[0][1] / (sides[0][1] + sides[1][1])
    seam = left + (right - left) * share
    weight = 1 / (1 + np.exp((at - seam) / max(2.0, soft)))
    if not sides[1][0]:
        weight = np.ones_like(weight)
    if not sides[0][0]:
        weight = np.zeros_like(weight)
    moved = pixels[_folded(np.arange(height) + round(random.uniform(-DEPTH_SHARE, DEPTH_SHARE) * height), 0, height)]
    tissue = np.zeros_like(pixels)
    tissue[:, left:right] = weight * moved[:, from_left] + (1 - weight) * moved[:, from_right]
    tissue *= 1 + random.uniform(-BRIGHTNESS_SHARE, BRIGHTNESS_SHARE)
    result: NDArray[np.float32] = np.clip((1 - alpha) * pixels + alpha * tissue, 0, 1).astype(np.float32)
    return result


def _folded(at: NDArray[np.int_], start: int, stop: int) -> NDArray[np.int_]:
    """Mirror columns at ``start`` and ``stop`` until all lie between them."""
    length = stop - start
    phase = np.mod(at - start, 2 * length)
    return start + np.where(phase < length, phase, 2 * length - 1 - phase)


def _elsewhere(mask: NDArray[np.bool_], random: np.random.RandomState) -> NDArray[np.bool_] | None:
    """Move the lesion's shape, at times mirrored or halved, to where it touches no lesion; ``None`` without room."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    shape = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][:, :: random.choice((-1, 1))]
    step = 1 if random.uniform() < 0.5 else 2
    shape = shape[::step, ::step]
    away = np.zeros_like(mask)
    margin = int(3 * MARGIN_SHARE * mask.shape[1])
    away[max(rows[0] - margin, 0) : rows[-1] + margin, max(columns[0] - margin, 0) : columns[-1] + margin] = True
    for _ in range(10):
        top = int(random.randint(0, mask.shape[0] - shape.shape[0] + 1))
        left = int(random.randint(0, mask.shape[1] - shape.shape[1] + 1))
        place = np.zeros_like(mask)
        place[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
        if not (place & away).any():
            return place
    return None
