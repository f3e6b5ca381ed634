"""``from bus_monai import segment``: lesions of an array or a file in one call."""

from __future__ import annotations

import base64
import html
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import find_model, model_key
from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.errors import UserError, check_choice, check_number, is_number, reading
from bus_monai.geometry.lesion import find_findings
from bus_monai.inference.backends.backend import SENSITIVITIES, Sensitivity
from bus_monai.inference.overlay import draw_overlay
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import MAX_DISTANCE, unlike_breast
from bus_monai.io.budget import Budget
from bus_monai.io.gray import LUMA_WEIGHTS, check_signal, to_unit_range
from bus_monai.io.image import SourceImage, upright
from bus_monai.io.opened import OpenedSource, open_source
from bus_monai.sources.read import read_image
from bus_monai.transforms.image_region import find_regions

if TYPE_CHECKING:
    from bus_monai.geometry.lesion import Lesion

SHOWN_COLUMNS = ("number", "area", "long_axis", "short_axis", "depth_width_ratio", "circularity", "probability", "unit")

MAX_LOADED_MODELS = 2
"""Models that :func:`segment` keeps loaded, those asked for last."""
_loaded: dict[tuple[Path, str, Sensitivity], Predictor] = {}


@dataclass(frozen=True)
class Result:
    """The lesions of an image; a notebook shows them as picture and table.

    Args:
        mask: bool (H, W), the lesions.
        probability: float32 (H, W) in [0, 1].
        lesions: components of the mask, the largest first, at most ``MAX_LESIONS``, none smaller than
            :func:`~bus_monai.geometry.lesion.smallest_area`.
        pixels: float32 (H, W) in [0, 1], the gray image.
        labels: int32 (H, W), the number of the lesion, 0 outside.
        notes: what the file says wrong of itself, or does not say, in words.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    lesions: Sequence[Lesion]
    pixels: NDArray[np.float32]
    labels: NDArray[np.int32]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        height, width = self.mask.shape
        found = "; ".join(
            f"{lesion.long_axis:.3g} x {lesion.short_axis:.3g} {lesion.unit}, probability {lesion.probability:.2f}"
            for lesion in self.lesions
        )
        return f"<Result of {height} x {width} pixels: {found or 'no lesion'}>"

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        # speckle makes a PNG four times as large, which the notebook would keep
        Image.fromarray(draw_overlay(self.pixels, self.labels, self.lesions)).save(buffer, format="JPEG", quality=90)
        picture = base64.b64encode(buffer.getvalue()).decode()
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in SHOWN_COLUMNS)
        rows = "".join(
            f"<tr>{''.join(_cell(getattr(lesion, n)) for n in SHOWN_COLUMNS)}</tr>" for lesion in self.lesions
        )
        scrolled = f'<div style="overflow-x: auto"><table><tr>{head}</tr>{rows}</table></div>'
        table = scrolled if rows else "<p>No lesion.</p>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        image = f'<img style="max-width: 100%" alt="the outlined lesions" src="data:image/jpeg;base64,{picture}">'
        return f"{image}{table}{notes}"


@overload
def segment(
    image: list[Any] | tuple[Any, ...],
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
    sensitivity: Sensitivity = "balanced",
    trust: bool = False,
    any_body_part: bool = False,
) -> list[Result]: ...


@overload
def segment(
    image: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
    sensitivity: Sensitivity = "balanced",
    trust: bool = False,
    any_body_part: bool = False,
) -> Result: ...


def segment(
    image: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
    sensitivity: Sensitivity = "balanced",
    trust: bool = False,
    any_body_part: bool = False,
) -> Result | list[Result]:
    """Find the lesions of a breast ultrasound image, or of each of a list. Not for clinical use.

    Args:
        image: path of a PNG, JPEG, NIfTI or DICOM file (the first frame of a cine); an array, gray (H, W) or (H, W, 1)
            or RGB (H, W, 3), or a tensor, also with the channel first, of any real numbers, see
            :func:`~bus_monai.io.gray.to_unit_range`; a picture of Pillow's; a dataset of pydicom's; or a list of them.
        model: ``BUNDLE`` or ``BUNDLE:WEIGHTS`` of the package, the folder of a bundle that is trusted, or a predictor.
            It stays loaded until its weights, settings or configs change.
        threshold: from which probability on a pixel is lesion, in [0, 1].
        spacing_mm: of rows and columns, used instead of the file's, which decides on the unit of the measures.
        sensitivity: which of the operating points that were measured with the weights; a predictor keeps its own.
        trust: whether the configs of a folder that is not of the package may run, which is any code.
        any_body_part: segment also what shows something else than a breast, or says so.

    Raises:
        NotAssessedError: the file says that it shows something else, or the image does not look like ultrasound of a
            breast, or is black.
        UserError: the file or the model cannot be read or is not trusted, the array has another shape, or an option is
            outside of its range.

    Example:
        >>> from bus_monai.data.phantoms.ultrasound import make_phantom
        >>> result = segment(make_phantom(seed=3).image, spacing_mm=(0.1, 0.1))
        >>> result.mask.shape, result.lesions[0].unit
        ((256, 256), 'mm')
    """
    check_number("threshold", threshold, at_least=0, at_most=1)
    spacing = check_spacing(spacing_mm)
    check_choice("sensitivity", sensitivity, SENSITIVITIES)
    options = (threshold, spacing, any_body_part)
    images = image if isinstance(image, list | tuple) else [image]
    sources = (as_source(one, any_body_part=any_body_part) for one in images)
    results = []
    for one, source in zip(images, sources, strict=True):
        predictor = model if isinstance(model, Predictor) else _predictor(model, sensitivity, trust)
        results.append(_segment(one, source, predictor, *options))
    return results if isinstance(image, list | tuple) else results[0]


def _segment(
    given: Any,
    source: SourceImage,
    predictor: Predictor,
    threshold: float,
    spacing: tuple[float, float] | None,
    any_body_part: bool,
) -> Result:
    name = given if isinstance(given, str | Path) else IN_MEMORY
    check_signal(name, bool(source.pixels.any()))
    probability, distance = predictor.assess(source.pixels, find_regions(source.pixels, source.images))
    if distance > MAX_DISTANCE and not any_body_part:
        raise unlike_breast(name)
    found = find_findings(
        probability,
        threshold,
        spacing_mm=spacing or source.spacing_mm,
        regions=() if spacing else source.regions,
        aspect=source.aspect,
        chance=predictor.calibration,
    )
    return Result(found.labels > 0, probability, found.lesions, source.pixels, found.labels, source.notes)


def _predictor(model: str | Path, sensitivity: Sensitivity, trust: bool) -> Predictor:
    bundle, _, weights = str(model).partition(":")
    found = find_model(Path(bundle) if isinstance(model, Path) else bundle, weights or None, trust=trust)
    # by content: the same name may stand for other weights by now
    key = (found.bundle.resolve(), model_key(found), sensitivity)
    predictor = _loaded.pop(key, None) or Predictor(found, sensitivity=sensitivity)
    _loaded[key] = predictor
    while len(_loaded) > MAX_LOADED_MODELS:
        _loaded.pop(next(iter(_loaded)))
    return predictor


def _cell(value: float | str | None) -> str:
    return f"<td>{value:.3g}</td>" if isinstance(value, float) else f"<td>{'' if value is None else value}</td>"


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
            return SourceImage.of_picture(upright(image))
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(image).__mro__}
    if "torch.Tensor" in kinds:
        return SourceImage(_gray(_last(_array(image))), None)
    if "pydicom.Dataset" in kinds:
        return _checked(_of_dataset(image), any_body_part)
    raise UserError(f"The image is of the kind '{type(image).__name__}': {TAKEN}.")


def _array(tensor: Any) -> NDArray[Any]:
    # a tensor may have no values, or none that an array can hold
    with reading(IN_MEMORY, "a tensor", errors=(TypeError, RuntimeError), remedy="give a dense one of numbers"):
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
    rows = columns = math.nan
    if isinstance(spacing_mm, list | tuple) or hasattr(spacing_mm, "tolist"):
        sides = spacing_mm.tolist() if hasattr(spacing_mm, "tolist") else list(spacing_mm)
        if isinstance(sides, list) and len(sides) == 2 and all(map(is_number, sides)):
            rows, columns = map(float, sides)
    if not (math.isfinite(rows) and math.isfinite(columns) and rows > 0 and columns > 0):
        raise UserError(
            f"spacing_mm is {spacing_mm!r}: give the two sides of a pixel in mm, of rows and of columns, above 0.",
            key="spacing_mm",
        )
    return rows, columns
