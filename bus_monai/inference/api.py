"""``from bus_monai import segment``: lesions of an array or a file in one call."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import find_model, model_key
from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.errors import UserError
from bus_monai.geometry.lesion import find_findings
from bus_monai.inference.backends.backend import Sensitivity
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import MAX_DISTANCE, unlike_breast
from bus_monai.inference.write_outputs import draw_overlay
from bus_monai.io.image import LUMA_WEIGHTS, SourceImage, check_signal, to_unit_range
from bus_monai.io.opened import open_source
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
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    lesions: Sequence[Lesion]
    pixels: NDArray[np.float32]
    labels: NDArray[np.int32]

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(draw_overlay(self.pixels, self.labels)).save(buffer, format="PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self._repr_png_()).decode()
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in SHOWN_COLUMNS)
        rows = "".join(
            f"<tr>{''.join(_cell(getattr(lesion, n)) for n in SHOWN_COLUMNS)}</tr>" for lesion in self.lesions
        )
        return f'<img src="data:image/png;base64,{picture}"><table><tr>{head}</tr>{rows}</table>'


def segment(
    image: NDArray[Any] | str | Path,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    threshold: float = 0.5,
    spacing_mm: tuple[float, float] | None = None,
    sensitivity: Sensitivity = "balanced",
    trust: bool = False,
    any_body_part: bool = False,
) -> Result:
    """Find the lesions of a breast ultrasound image. Not for clinical use.

    Args:
        image: path of a PNG, JPEG, NIfTI or DICOM file (the first frame of a cine), or an array: gray (H, W) or RGB
            (H, W, 3), as uint8, or as floats in [0, 1]; other values are scaled by their own range.
        model: ``BUNDLE`` or ``BUNDLE:WEIGHTS`` of the package, the folder of a bundle that is trusted, or a predictor.
            It stays loaded until its weights, settings or configs change.
        threshold: from which probability on a pixel is lesion.
        spacing_mm: of rows and columns, used instead of the file's, which decides on the unit of the measures.
        sensitivity: which of the operating points that were measured with the weights; a predictor keeps its own.
        trust: whether the configs of a folder that is not of the package may run, which is any code.
        any_body_part: segment also what shows something else than a breast, or says so.

    Raises:
        NotAssessedError: the file says that it shows something else, or the image does not look like ultrasound of a
            breast, or is black.
        UserError: the file or the model cannot be read or is not trusted, or the array has another shape.

    Example:
        >>> from bus_monai.data.phantoms.ultrasound import make_phantom
        >>> result = segment(make_phantom(seed=3).image, spacing_mm=(0.1, 0.1))
        >>> result.mask.shape, result.lesions[0].unit
        ((256, 256), 'mm')
    """
    if isinstance(image, np.ndarray):
        pixels = _gray(image)
        regions = find_regions(pixels)
    else:
        source = _read(image, any_body_part)
        pixels, spacing_mm = source.pixels, spacing_mm or source.spacing_mm
        regions = find_regions(pixels, source.images)
    what = "The array" if isinstance(image, np.ndarray) else image
    check_signal(what, bool(pixels.any()))
    predictor = model if isinstance(model, Predictor) else _predictor(model, sensitivity, trust)
    probability, distance = predictor.assess(pixels, regions)
    if distance > MAX_DISTANCE and not any_body_part:
        raise unlike_breast(what)
    found = find_findings(probability, threshold, spacing_mm=spacing_mm)
    return Result(found.labels > 0, probability, found.lesions, pixels, found.labels)


def _read(path: str | Path, any_body_part: bool) -> SourceImage:
    with open_source(path) as source:
        if source.kind == "dicom" and not any_body_part:
            from bus_monai.dicom.body_part import check_body_part

            check_body_part(source)
        return read_image(source)


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


def _gray(image: NDArray[Any]) -> NDArray[np.float32]:
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise UserError(f"The image has the shape {image.shape}: give (H, W) or (H, W, 3).")
    values = to_unit_range(image)
    return np.ascontiguousarray(values @ LUMA_WEIGHTS if values.ndim == 3 else values, dtype=np.float32)


def _cell(value: float | str | None) -> str:
    return f"<td>{value:.3g}</td>" if isinstance(value, float) else f"<td>{'' if value is None else value}</td>"
