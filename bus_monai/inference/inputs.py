"""What ``segment`` takes in Python, as one gray image: paths, arrays, tensors, pictures and DICOM objects."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import UserError, reading
from bus_monai.io.budget import Budget
from bus_monai.io.gray import LUMA_WEIGHTS, to_unit_range
from bus_monai.io.image import SourceImage, gray_of, upright
from bus_monai.io.opened import OpenedSource, open_source
from bus_monai.sources.read import read_image

IN_MEMORY = Path("The image")
"""Name of what has no path, in errors."""
TAKEN = "give a path, an array (H, W), (H, W, 1) or (H, W, 3), a tensor, a picture of Pillow's or a DICOM object"


def as_source(image: Any, *, any_body_part: bool = False) -> SourceImage:
    """Return what is given as a gray image.

    Args:
        image: a path, a NumPy array, a tensor (also with the channel first), an image of Pillow's, or a dataset of
            pydicom's with its pixels, of which the first frame counts.
        any_body_part: take also what says that it shows something else than a breast.

    Raises:
        NotAssessedError: it says that it shows something else.
        UserError: it is something else, has another shape, or cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        with open_source(Path(image)) as source:
            return _checked(source, any_body_part)
    if isinstance(image, np.ndarray):
        return SourceImage(_gray(image), None)
    if isinstance(image, Image.Image):
        with reading(IN_MEMORY, errors=(SyntaxError, ValueError, EOFError), remedy="give another"):
            Budget.current().check_frame(IN_MEMORY, image.height, image.width)
            return SourceImage(gray_of(upright(image)), None)
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(image).__mro__}
    if "torch.Tensor" in kinds:
        return SourceImage(_gray(_last(_array(image))), None)
    if "pydicom.Dataset" in kinds:
        return _checked(_of_dataset(image), any_body_part)
    raise UserError(f"The image is of the kind '{type(image).__name__}': {TAKEN}.")


def _array(tensor: Any) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    plain = plain.as_tensor() if hasattr(plain, "as_tensor") else plain
    if "bfloat16" in str(plain.dtype):
        plain = plain.float()
    return np.asarray(plain)


def _last(values: NDArray[Any]) -> NDArray[Any]:
    """Return values with the channel last, which tensors mostly have first."""
    if values.ndim == 3 and values.shape[0] in (1, 3):
        if values.shape[2] in (1, 3):
            raise UserError(f"The image has the shape {values.shape}, of two readings: give (H, W).")
        return np.moveaxis(values, 0, -1)
    return values


def _gray(image: NDArray[Any]) -> NDArray[np.float32]:
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))) or not image.size:
        raise UserError(f"The image has the shape {image.shape}: give (H, W), (H, W, 1) or (H, W, 3).")
    if image.dtype.kind not in "biuf":
        raise UserError(f"The image holds values of the kind '{image.dtype}': give whole numbers or floats.")
    Budget.current().check_frame(IN_MEMORY, *image.shape[:2])
    if np.ma.isMaskedArray(image):
        image = np.ma.filled(image, 0)
    values = to_unit_range(np.asarray(image))
    if values.ndim == 3:
        values = values @ LUMA_WEIGHTS if values.shape[2] == 3 else values[..., 0]
    return np.ascontiguousarray(values, dtype=np.float32)


def _checked(source: OpenedSource, any_body_part: bool) -> SourceImage:
    if source.kind == "dicom" and not any_body_part:
        from bus_monai.dicom.body_part import check_body_part

        check_body_part(source)
    return read_image(source)


def _of_dataset(dataset: Any) -> OpenedSource:
    """Return a dataset of pydicom's by way of its bytes, so that it is read as a file is."""
    from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with reading(IN_MEMORY, "a DICOM image", errors=(Exception,), remedy="give its file"):
        meta = getattr(dataset, "file_meta", None)
        syntax = UID(str(meta.get("TransferSyntaxUID") or "")) if meta is not None else UID("")
        file = io.BytesIO()
        if syntax:
            dataset.save_as(file, enforce_file_format=False)
        else:
            implicit = dataset.original_encoding[0] is not False
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            dataset.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=False)
    return OpenedSource(IN_MEMORY, "dicom", file, is_empty=False)


def check_spacing(spacing_mm: Any) -> tuple[float, float] | None:
    """Return a spacing of rows and columns as two numbers, ``None`` as it is.

    Raises:
        UserError: it is not two finite numbers above 0.
    """
    if spacing_mm is None:
        return None
    try:
        rows, columns = (float(side) for side in spacing_mm)
    except (TypeError, ValueError):
        rows = columns = math.nan
    if not (math.isfinite(rows) and math.isfinite(columns) and rows > 0 and columns > 0):
        raise UserError(
            f"spacing_mm is {spacing_mm!r}: give the two sides of a pixel in mm, of rows and of columns, above 0.",
            key="spacing_mm",
        )
    return rows, columns
