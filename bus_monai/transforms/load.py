"""Load images, masks, boxes and masses."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from numpy.typing import NDArray
from scipy.ndimage import label
from torch import Tensor
from torch.nn import functional as F

from bus_monai.errors import UserError
from bus_monai.geometry.box import Box, loose_box
from bus_monai.io.gray import check_signal
from bus_monai.io.image import SourceImage, read_any_mask, read_mask, read_masks
from bus_monai.io.mask_content import lesion_of
from bus_monai.io.opened import source_kind
from bus_monai.networks.shape_cnn import SHAPE_INPUT_SIZE
from bus_monai.sources.read import read_all_frames, read_source
from bus_monai.transforms.crop import IMAGES_META

UNKNOWN_SPACING = (float("nan"), float("nan"))
"""Stands for "not known" in metadata, since batches cannot hold ``None``."""

MAX_IMAGES = 8
"""On one screen, of those that a file declares; batches hold metadata of one shape."""
MASS_MARGIN = 1.5
"""Side of the square by the longer side of the mass: the loose box that the segmenter's input has, too."""
_EIGHT = np.ones((3, 3), dtype=int)
MASK_LEVELS = 65535
"""Grays that a mask of NIfTI or DICOM is read to."""


class LoadUltrasoundd(MapTransform):
    """Read PNG, JPEG, NIfTI or DICOM to a gray image.

    The result is a float32 ``MetaTensor`` (1, H, W), rows first, values in [0, 1]. Its metadata: ``filename_or_obj``,
    ``source_shape`` (H, W), ``spacing_mm`` (rows, columns; NaN where the file does not say), ``frame`` and ``images``,
    where the file says that ultrasound is on the screen (8, 4), zeros where it does not. A cine whose frames come one
    after another is opened once.

    Args:
        keys: paths to read; of several frames that whose number, from 0, the item has as ``frame``, else the first.
        allow_missing_keys: leave out keys that the item lacks.

    Raises:
        UserError: a file cannot be read, or holds no signal.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> image = LoadUltrasoundd("image")({"image": get_testdata_file("examples_rgb_color.dcm")})["image"]
        >>> image.shape, image.dtype, bool(image.max() <= 1)
        (torch.Size([1, 240, 320]), torch.float32, True)
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._next: dict[tuple[str, int], Iterator[SourceImage]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # an open file goes to no other process
        return self.__dict__ | {"_next": {}}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its image."""
        item = dict(data)
        for key in self.key_iterator(item):
            source = self._read(item[key], int(item.get("frame", 0)))
            check_signal(item[key], bool(source.pixels.any()))
            meta = {
                "filename_or_obj": str(item[key]),
                # not MONAI's spatial_shape, which is columns first: MONAI Label would resize masks to it
                "source_shape": np.asarray(source.pixels.shape),
                "spacing_mm": np.asarray(source.spacing_mm or UNKNOWN_SPACING),
                "frame": source.frame,
                IMAGES_META: _rows(source.images),
            }
            item[key] = MetaTensor(torch.from_numpy(source.pixels.copy())[None], meta=meta)
        return item

    def _read(self, path: str | Path, frame: int) -> SourceImage:
        # taken out, so that threads share no file; what another one holds is read by its number
        images = self._next.pop((str(path), frame), None) or (read_all_frames(Path(path)) if frame == 0 else None)
        if images is None:
            return read_source(path, frame)
        image = next(images)
        self._next.clear()
        if frame + 1 < image.frames:
            self._next[str(path), frame + 1] = images
        return image


def _rows(images: Sequence[Box]) -> NDArray[np.int64]:
    rows = np.zeros((MAX_IMAGES, 4), dtype=np.int64)
    rows[: len(images)] = np.reshape([box.sides for box in images], (-1, 4))[:MAX_IMAGES]
    return rows


class LoadMasksd(MapTransform):
    """Merge all masks of a case with OR into its ``label``, a ``MetaTensor`` (1, H, W) of 0 and 1.

    Args:
        keys: list of mask paths, removed from the item; an empty list stands for an image without lesion.

    Raises:
        UserError: a mask cannot be read or has another size than the item's ``image``, which is loaded before.

    Example:
        >>> LoadMasksd()({"image": torch.zeros(1, 6, 8), "masks": []})["label"].shape
        torch.Size([1, 6, 8])
    """

    def __init__(self, keys: KeysCollection = "masks") -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the merged mask."""
        item = dict(data)
        paths = [Path(path) for key in self.keys for path in item.pop(key)]
        merged = read_masks(paths, tuple(item["image"].shape[1:]))
        item["label"] = MetaTensor(torch.from_numpy(merged.astype(np.float32))[None])
        return item


MAY_BE_EMPTY = ("normal", "unknown")
"""Diagnoses of images whose masks may be empty, as some data sets ship them."""


class LoadMassBoxesd(MapTransform):
    """Turn the masks of a case into ``boxes``, one per file, in pixels of its loaded ``image``.

    Boxes (T, 4) are top, left, bottom, right, the order that MONAI's box transforms expect of images whose rows come
    first; bottom and right are the first edges outside. An image that was resized since it was loaded has its boxes
    resized as well. Those transforms also want labels (T,), the item's ``classes``: all 0, since there is one.

    Args:
        keys: list of mask paths, removed from the item; an empty list stands for an image without mass, and so does an
            empty mask where the item's ``diagnosis`` is ``normal`` or ``unknown``.

    Raises:
        UserError: a mask cannot be read, has another size than the image's file, or no pixel in any other image.
    """

    def __init__(self, keys: KeysCollection = "masks") -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the boxes and labels."""
        item = dict(data)
        image = item["image"]
        source = tuple(int(side) for side in image.meta["source_shape"])
        paths = [Path(path) for key in self.keys for path in item.pop(key)]
        found = [_box(path, source, may_be_empty=item.get("diagnosis") in MAY_BE_EMPTY) for path in paths]
        boxes = torch.tensor([box.sides for box in found if box.area], dtype=torch.float32).reshape(-1, 4)
        scale = torch.tensor([now / before for now, before in zip(image.shape[1:], source, strict=True)])
        item["boxes"] = boxes * scale.repeat(2)
        item["classes"] = torch.zeros(len(boxes), dtype=torch.long)
        return item


def _box(path: Path, size: tuple[int, ...], *, may_be_empty: bool) -> Box:
    box = Box.from_mask(read_mask(path, size))
    if not (box.area or may_be_empty):
        raise UserError(f"The mask '{path}' is empty: draw the mass or remove the file from the data set.")
    return box


def crop_mass(mask: Tensor) -> Tensor:
    """Return a mass in the middle of a square of 64 x 64 pixels, whatever its size and place.

    The square is the loose box of Singh et al., Expert Systems with Applications 139, 2020, doi
    10.1016/j.eswa.2019.112855. Where it leaves the image it goes on with background, so that no mass is moved off its
    center or stretched. Pixels are averaged and those of at least one half are mass.

    Args:
        mask: (1, H, W) bool, one mass.

    Returns:
        (1, 64, 64) float32 of 0 and 1.

    Raises:
        UserError: the mask is empty.
    """
    return (_around_mass(mask, mask) >= 0.5).to(torch.float32)


def crop_gray(image: Tensor, mask: Tensor) -> Tensor:
    """Return the gray values of the square that :func:`crop_mass` takes, averaged to 64 x 64 pixels.

    Args:
        image: (1, H, W), values in [0, 1].
        mask: (1, H, W) bool, one mass.

    Returns:
        (1, 64, 64) float32 in [0, 1], 0 outside the image.

    Raises:
        UserError: the mask is empty.
    """
    return _around_mass(image, mask)


def _around_mass(values: Tensor, mask: Tensor) -> Tensor:
    if not mask.any():
        raise UserError("The mask of a mass is empty: give one with at least one pixel.")
    box = Box.from_mask(mask[0].cpu().numpy())
    # as far as the square may leave the image
    border = max(box.height, box.width)
    padded = F.pad(values.to(torch.float32), [border] * 4)
    square = padded[(..., *loose_box(box.shifted(border, border), MASS_MARGIN, padded.shape[1:]).slices)]
    return F.interpolate(square[None], size=(SHAPE_INPUT_SIZE, SHAPE_INPUT_SIZE), mode="area")[0]


class LoadMassd(MapTransform):
    """Read the mask of a mass, or the part of a predicted mask that belongs to it, as ``crop_mass`` gives it.

    That part is the connected component (of eight neighbors) that shares the most pixels with the true mask. Where
    none shares any, the mass was not found, and the result is empty.

    Args:
        keys: path of the true mask, replaced by the result (1, 64, 64), float32 of 0 and 1, as ``image``. The path of
            the predicted mask of the whole image is the item's ``predicted``, where it has it.
        gray_values: also add ``gray``, (1, 64, 64) in [0, 1], of the image whose path is the item's ``source``.

    Raises:
        UserError: a file cannot be read, the true mask is empty, or both have different sizes.
    """

    def __init__(self, keys: KeysCollection = "mask", *, gray_values: bool = False) -> None:
        super().__init__(keys)
        self.gray_values = gray_values

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the mass."""
        item = dict(data)
        source = item.pop("source", None)
        for key in self.key_iterator(item):
            path = Path(item.pop(key))
            mask = read_mask_file(path)
            if not mask.any():
                raise UserError(f"The mask '{path}' of the mass '{item['id']}' is empty: draw it or remove its row.")
            if "predicted" in item:
                mask = _part_of(mask, Path(item.pop("predicted")))
            mass, nothing = torch.from_numpy(mask)[None], torch.zeros((1, SHAPE_INPUT_SIZE, SHAPE_INPUT_SIZE))
            item["image"] = crop_mass(mass) if mask.any() else nothing
            if self.gray_values:
                item["gray"] = crop_gray(_pixels(Path(source), mass), mass) if mask.any() else nothing
        return item


def _pixels(path: Path, mask: Tensor) -> Tensor:
    pixels = torch.from_numpy(read_source(path).pixels)[None]
    if pixels.shape != mask.shape:
        raise UserError(
            f"The image '{path}' has {pixels.shape[1]} x {pixels.shape[2]} pixels but the mask of its mass "
            f"{mask.shape[1]} x {mask.shape[2]}: give masks of the images' size."
        )
    return pixels


def read_mask_file(path: Path) -> NDArray[np.bool_]:
    """Read a mask (H, W) from a PNG, JPEG, NIfTI or DICOM file, rows first.

    Raises:
        UserError: it cannot be read.
    """
    if source_kind(path) == "raster":
        return read_any_mask(path)
    return lesion_of(np.rint(read_source(path).pixels * MASK_LEVELS).astype(np.int32), 0, path)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected components (of eight neighbors) of a mask (H, W), each of its size, from the top down."""
    labels, count = label(mask, structure=_EIGHT)
    return [labels == number for number in range(1, count + 1)]


def _part_of(mass: NDArray[np.bool_], path: Path) -> NDArray[np.bool_]:
    predicted = read_mask_file(path)
    if predicted.shape != mass.shape:
        raise UserError(
            f"The predicted mask '{path}' has {predicted.shape[0]} x {predicted.shape[1]} pixels but the true one "
            f"{mass.shape[0]} x {mass.shape[1]}: give predictions of the images' size."
        )
    parts = [part for part in components(predicted) if (part & mass).any()]
    return max(parts, key=lambda part: np.count_nonzero(part & mass), default=np.zeros_like(mass))
