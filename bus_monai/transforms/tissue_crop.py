"""Random parts of an image, with all of its lesion or with none of it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils.misc import ensure_tuple_rep
from monai.utils.type_conversion import convert_to_dst_type
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bus_monai.geometry.box import Box
from bus_monai.transforms.gray import check_gray

MIN_AREA = 0.2
"""Of the image; smaller parts do not look like images any more."""
MAX_STRETCH = 2.0
"""One side's share of the image is at most so many times that of the other."""
MARGIN_SHARE = 0.02
"""Share of the side that a part without lesion keeps away from it, for outlines are not exact."""


class RandTissueCropd(RandomizableTransform, MapTransform):
    """Show a random part of image and label (1, H, W) at full size: one clear of the lesion, or one with all of it.

    A part clear of the lesion is an image of normal tissue. Data sets without normal images thereby have some, and how
    an image of theirs looks no longer tells that there is a lesion. Parts with the lesion are drawn as well, so that it
    is not the look of an enlarged part that tells there is none. Where no part of the size fits, nothing changes.

    Args:
        keys: images of one size, the mask ``label`` among them.
        prob: of a change.
        free: share of the changed images of which a part clear of the lesion is taken.
        min_share: sides of a part are at least this share of the image's, and its area at least :data:`MIN_AREA`.
        mode: interpolation, one for each key.

    Example:
        >>> import torch
        >>> label = torch.zeros(1, 64, 64)
        >>> label[0, 4:10, 4:10] = 1
        >>> crop = RandTissueCropd(("image", "label"), prob=1.0, free=1.0, mode=("bilinear", "nearest-exact"))
        >>> item = crop.set_random_state(seed=0)({"image": torch.rand(1, 64, 64), "label": label})
        >>> item["image"].shape, int(item["label"].sum())
        (torch.Size([1, 64, 64]), 0)
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        *,
        free: float = 0.5,
        min_share: float = 0.35,
        mode: tuple[str, ...] | str = "bilinear",
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.free = free
        self.min_share = min_share
        self.modes = ensure_tuple_rep(mode, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop and enlarge each key."""
        item = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return item
        mask = np.asarray(item["label"][0]) > 0
        draw = draw_clear_part if self.R.uniform() < self.free else draw_whole_part
        box = draw(mask, self.min_share, self.R)
        if box is not None:
            for key, mode in self.key_iterator(item, self.modes):
                check_gray(item[key], "RandTissueCropd")
                item[key] = _enlarged(item[key], box, mode)
        return item


def draw_clear_part(mask: NDArray[np.bool_], min_share: float, random: np.random.RandomState) -> Box | None:
    """Draw a part above, below, left or right of the lesion, or any part of an image without one.

    Args:
        mask: (H, W), where the lesion is.
        min_share: share of a side that a part has at least, in (0, 1].
        random: the source of chance.

    Returns:
        The part, or ``None`` where the lesion leaves no room.
    """
    whole = Box.of_image(mask.shape)
    lesion = Box.from_mask(mask)
    if not lesion.area:
        return _draw_within(whole, mask.shape, min_share, random)
    down, aside = (math.ceil(MARGIN_SHARE * side) for side in mask.shape)
    rooms = [
        replace(whole, bottom=lesion.top - down),
        replace(whole, top=lesion.bottom + down),
        replace(whole, right=lesion.left - aside),
        replace(whole, left=lesion.right + aside),
    ]
    drawn = [_draw_within(room, mask.shape, min_share, random) for room in rooms]
    fitting = [box for box in drawn if box is not None]
    return fitting[int(random.randint(len(fitting)))] if fitting else None


def draw_whole_part(mask: NDArray[np.bool_], min_share: float, random: np.random.RandomState) -> Box | None:
    """Draw a part that holds all of the lesion, or any part of an image without one; see :func:`draw_clear_part`."""
    box = _draw_within(Box.of_image(mask.shape), mask.shape, min_share, random)
    lesion, (height, width) = Box.from_mask(mask), mask.shape
    if box is None or not lesion.area:
        return box
    top, bottom = _moved((box.top, box.bottom), (lesion.top, lesion.bottom), height)
    left, right = _moved((box.left, box.right), (lesion.left, lesion.right), width)
    return Box(top, left, bottom, right)


def _draw_within(room: Box, shape: tuple[int, ...], min_share: float, random: np.random.RandomState) -> Box | None:
    """Draw size and place of a part in ``room``; ``None`` where the room is too small."""
    edges = room.height, room.width
    most = edges[0] / shape[0], edges[1] / shape[1]
    # the narrower side first: it bounds the other
    first = int(most[1] < most[0])
    if min(most) < min_share or most[0] * most[1] < MIN_AREA:
        return None
    low = max(min_share, MIN_AREA / most[1 - first], most[first] / 4)
    one = float(random.uniform(min(low, most[first]), most[first]))
    lowest = max(min_share, MIN_AREA / one, one / MAX_STRETCH)
    highest = min(most[1 - first], one * MAX_STRETCH)
    if highest < lowest:
        return None
    other = float(random.uniform(lowest, highest))
    shares = (one, other) if first == 0 else (other, one)
    sides = [min(round(share * side), edge) for share, side, edge in zip(shares, shape, edges, strict=True)]
    top = int(random.randint(room.top, room.bottom - sides[0] + 1))
    left = int(random.randint(room.left, room.right - sides[1] + 1))
    return Box(top, left, top + sides[0], left + sides[1])


def _moved(drawn: tuple[int, int], held: tuple[int, int], side: int) -> tuple[int, int]:
    """Move, and widen where it must be, an interval so that it holds another one."""
    length = max(drawn[1] - drawn[0], held[1] - held[0])
    start = min(max(drawn[0], held[1] - length), held[0], side - length)
    return start, start + length


def _enlarged(image: Tensor, box: Box, mode: str) -> Tensor:
    rows, columns = box.slices
    smooth = {"align_corners": False} if mode == "bilinear" else {}
    part = image[None, :, rows, columns]
    whole = F.interpolate(part, size=image.shape[1:], mode=mode, **smooth)
    result: Tensor = convert_to_dst_type(whole[0], image)[0]
    return result
