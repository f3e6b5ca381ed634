"""Cropping to the frame around a mass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.croppad.array import Crop
from monai.transforms.croppad.dictionary import Cropd

from bus_monai.errors import UserError
from bus_monai.transforms.frames import Frame, check_loose_scale, full_frame, loose_frame, tight_frame

FRAMES = ("full", "tight", "loose")


class CropFramed(Cropd):
    """Crop images (1, H, W) to a frame around the item's box, and back: the inverse puts zeros around the crop.

    The three frames of Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2019.112855. The box
    itself is cut and moved with the images, so that it stays around its mass.

    Args:
        keys: images of one size.
        frame: ``full`` (the whole image), ``tight`` (the box) or ``loose`` (a square around it).
        loose_scale: side of the loose frame in longer sides of the box, at least 1.
        box_key: top, left, bottom and right in pixels; an item without it is not cropped.
        allow_missing_keys: leave out keys that the item lacks.

    Raises:
        UserError: unknown ``frame``, ``loose_scale`` below 1, or, when called, a box outside the image.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        frame: str = "loose",
        loose_scale: float = 1.5,
        box_key: str = "box",
        allow_missing_keys: bool = False,
    ) -> None:
        if frame not in FRAMES:
            raise UserError(f"frame is {frame!r}: use one of {', '.join(FRAMES)}.")
        check_loose_scale(loose_scale)
        super().__init__(keys, Crop(), allow_missing_keys)
        self.frame = frame
        self.loose_scale = loose_scale
        self.box_key = box_key

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Crop each key and move the box."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            frame = self._around(data, image)
            slices = (slice(frame.top, frame.bottom), slice(frame.left, frame.right))
            # a view would keep the whole image in memory as long as the crop lives
            item[key] = self.cropper(image, slices, lazy=lazy).clone()
            if self.box_key in data:
                box = tight_frame(Frame(*map(int, data[self.box_key])), tuple(image.shape[1:]))
                top, left = frame.top, frame.left
                item[self.box_key] = torch.tensor(
                    [box.top - top, box.left - left, box.bottom - top, box.right - left], dtype=torch.int64
                )
        return item

    def _around(self, item: Mapping[Hashable, Any], image: Any) -> Frame:
        size = tuple(image.shape[1:])
        if self.box_key not in item:
            return full_frame(size)
        box = Frame(*map(int, item[self.box_key]))
        try:
            inside = tight_frame(box, size)
        except UserError as error:
            file = getattr(image, "meta", {}).get("filename_or_obj", "the image")
            raise UserError(
                f"The box {tuple(box)} has no pixel inside '{file}' of {size[0]} x {size[1]}: give (top, left, bottom, "
                "right) in pixels."
            ) from error
        if self.frame == "loose":
            return loose_frame(box, self.loose_scale, size)
        return inside if self.frame == "tight" else full_frame(size)
