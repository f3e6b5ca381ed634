"""Crops around boxes and around the image region."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any
from zlib import crc32

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.croppad.array import Crop
from monai.transforms.croppad.dictionary import Cropd
from monai.transforms.transform import Randomizable, Transform
from monai.utils.enums import TraceKeys

from bus_monai.errors import UserError, check_choice, check_number
from bus_monai.geometry.box import (
    Box,
    Region,
    box_around,
    check_loose_scale,
    lesion_crop,
    loose_box,
    mask_of,
    tight_box,
)
from bus_monai.transforms.image_region import find_regions

MAX_JITTER_SHARE = 0.3
"""Share of the side by which rounding may move a crop: three pixels, for a box of ten."""
CROP_KINDS = ("full", "tight", "loose", "lesion_crops")
LESION_SHARES = (0.15, 0.35)
"""A lesion covers between these shares of its lesion crop, and about a quarter of most.

So it does in set A of cGAN+AC+CAW (Singh et al., Expert Systems with Applications, 2020, doi
10.1016/j.eswa.2020.113870), whose images are crops of 64 x 64 pixels."""
AREA_KEY = "lesion_px"
"""Of an item with a box: pixels of the lesion in it."""
BOX_KEY = "box"
"""Of an item: top, left, bottom and right in pixels; one without it is not cropped."""
REGIONS_KEY = "regions"
"""Of an item: where the images are, if that is known."""
IMAGES_META = "images"
"""Of an image's metadata: where the file says that its images are, one row each, zeros where there is none."""


class RandBoxJitterd(Randomizable, Transform):
    """Move each side of the item's box by a random number of pixels, equally likely from -m to m.

    Args:
        jitter: m in heights of the box for top and bottom and in widths for left and right, rounded down; in [0, 0.5),
            so that some box remains. An item without ``box`` stays as it is.

    Raises:
        UserError: ``jitter`` outside its range.

    Example:
        >>> moved = RandBoxJitterd(0.1).set_random_state(seed=0)({"box": [20, 20, 60, 60]})["box"]
        >>> bool(((moved - torch.tensor([20, 20, 60, 60])).abs() <= 4).all())
        True
    """

    def __init__(self, jitter: float = 0.1) -> None:
        check_number("box_jitter", jitter, at_least=0, below=0.5)
        self.jitter = jitter

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move the sides of the box."""
        item = dict(data)
        if BOX_KEY in item:
            box = Box(*map(int, item[BOX_KEY]))
            rows, columns = int(self.jitter * box.height), int(self.jitter * box.width)
            moved = [
                side + int(self.R.randint(-most, most + 1))
                for side, most in zip(box.sides, (rows, columns, rows, columns), strict=True)
            ]
            item[BOX_KEY] = torch.tensor(moved, dtype=torch.int64)
        return item


def room_to_jitter(loose_scale: float, jitter: float) -> float:
    """Return the scale of a loose box that holds the loose box of ``loose_scale`` around any jittered box.

    A training keeps this part of an image in memory instead of all. For boxes of fewer than ten pixels it may lack a
    pixel or two, and the crop is then moved by these.
    """
    return loose_scale * (1 + 2 * jitter) + 2 * jitter + MAX_JITTER_SHARE


class CropToBoxd(Cropd):
    """Crop images (1, H, W) to or around the item's box, and back: the inverse puts zeros around the crop.

    The first three are those of Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2019.112855.
    A lesion crop is a square of which the lesion covers 15 to 35 %: how much of it is drawn by the item's id, so that
    the crop is the same in all epochs, trainings and evaluations. A side of the image that is shorter than a square,
    ``loose`` or this one, is taken whole: the crop is no square then, and resizing it to one stretches it. The box
    itself is cut and moved with the images, so that it stays around its mass.

    Args:
        keys: images of one size.
        box: ``full`` (the whole image), ``tight`` (the box), ``loose`` (a square around it) or ``lesion_crops``, which
            needs the item's ``lesion_px``.
        loose_scale: side of the loose box in longer sides of the box, at least 1.
        allow_missing_keys: leave out keys that the item lacks.

    Raises:
        UserError: unknown ``box``, ``loose_scale`` below 1, or, when called, a box outside the image.

    Example:
        >>> item = {"image": MetaTensor(torch.rand(1, 40, 40)), "box": [10, 10, 20, 18]}
        >>> CropToBoxd("image", box="tight")(item)["image"].shape, CropToBoxd("image", box="loose")(item)["image"].shape
        (torch.Size([1, 10, 8]), torch.Size([1, 15, 15]))
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        box: str = "loose",
        loose_scale: float = 1.5,
        allow_missing_keys: bool = False,
    ) -> None:
        check_choice("box", box, CROP_KINDS)
        check_loose_scale(loose_scale)
        super().__init__(keys, Crop(), allow_missing_keys)
        self.box = box
        self.loose_scale = loose_scale

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Crop each key and move the box."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            crop = self._around(data, image)
            # a view would keep the whole image in memory as long as the crop lives
            item[key] = self.cropper(image, crop.slices, lazy=lazy).clone()
            if BOX_KEY in data:
                box = tight_box(Box(*map(int, data[BOX_KEY])), image.shape[1:])
                item[BOX_KEY] = torch.tensor(box.shifted(-crop.top, -crop.left).sides, dtype=torch.int64)
        return item

    def _around(self, item: Mapping[Hashable, Any], image: Any) -> Box:
        size = tuple(image.shape[1:])
        if BOX_KEY not in item:
            return Box.of_image(size)
        box = Box(*map(int, item[BOX_KEY]))
        try:
            inside = tight_box(box, size)
        except UserError as error:
            file = getattr(image, "meta", {}).get("filename_or_obj", "the image")
            raise UserError(
                f"The box {box.sides} has no pixel inside '{file}' of {size[0]} x {size[1]}: give (top, left, bottom, "
                "right) in pixels."
            ) from error
        if self.box == "lesion_crops":
            if AREA_KEY not in item:
                raise UserError(
                    "A lesion crop is as large as the lesion, which is not known here: train with box 'loose'.",
                    key="box",
                )
            return lesion_crop(box, float(item[AREA_KEY]), _lesion_share(str(item["id"])), size)
        if self.box == "loose":
            return loose_box(box, self.loose_scale, size)
        return inside if self.box == "tight" else Box.of_image(size)


def _lesion_share(name: str) -> float:
    """Return the share that the name draws, equally likely in ``LESION_SHARES``."""
    least, most = LESION_SHARES
    return least + (most - least) * crc32(name.encode()) / 2**32


class CropImageRegiond(Cropd):
    """Crop images (1, H, W) to the ultrasound on them.

    It is found by :func:`~bus_monai.transforms.image_region.find_regions`. What else is in its box is 0: all that a
    curved probe does not see, and what lies between two images, which a chain of transforms keeps in one box (a
    :class:`~bus_monai.inference.predictor.Predictor` shows the network each alone).
    The inverse, as ``Invertd`` applies it to a prediction, puts each pixel where it was, and 0 all around.

    Args:
        keys: images of one size with values in [0, 1]; the region is that of the first.
        allow_missing_keys: leave out keys that the item lacks.

    Example:
        >>> screen = torch.zeros(1, 96, 128)
        >>> screen[:, 16:80, 32:96] = 0.1 + 0.8 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> CropImageRegiond("image")({"image": MetaTensor(screen)})["image"].shape
        torch.Size([1, 64, 64])
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, Crop(), allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Crop each key."""
        item = dict(data)
        regions = item.pop(REGIONS_KEY, None) or _regions_of(item[self.keys[0]])
        box = box_around(regions)
        outside = torch.from_numpy(
            ~mask_of([one.shifted(-box.top, -box.left) for one in regions], (box.height, box.width))
        )
        for key in self.key_iterator(item):
            # a view would keep the whole image in memory as long as the crop lives
            cropped = self.cropper(item[key], box.slices, lazy=lazy).clone()
            if outside.any():
                cropped[:, outside] = 0
                if isinstance(cropped, MetaTensor):
                    cropped.applied_operations[-1][TraceKeys.EXTRA_INFO][REGIONS_KEY] = regions
            item[key] = cropped
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put each key back into an image of the size that it had."""
        item = dict(data)
        for key in self.key_iterator(item):
            regions = item[key].applied_operations[-1][TraceKeys.EXTRA_INFO].get(REGIONS_KEY)
            item[key] = self.cropper.inverse(item[key])
            if regions is not None:
                item[key][:, torch.from_numpy(~mask_of(regions, item[key].shape[1:]))] = 0
        return item


def crops_to_region(steps: Compose) -> bool:
    """Tell whether a chain crops images to the ultrasound on them."""
    return any(isinstance(step, CropImageRegiond) for step in steps.flatten().transforms)


def _regions_of(image: Any) -> tuple[Region, ...]:
    declared = np.asarray(getattr(image, "meta", {}).get(IMAGES_META, ())).reshape(-1, 4).tolist()
    return find_regions(np.asarray(image[0]), [Box(*sides) for sides in declared if any(sides)])
