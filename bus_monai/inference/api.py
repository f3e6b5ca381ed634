"""``from bus_monai import segment``: lesions of an array or a file in one call."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import find_model, model_key
from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.errors import check_choice, check_number
from bus_monai.geometry.lesion import find_findings
from bus_monai.inference.backends.backend import Sensitivity
from bus_monai.inference.inputs import IN_MEMORY, as_source, check_spacing
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import MAX_DISTANCE, unlike_breast
from bus_monai.inference.write_outputs import draw_overlay
from bus_monai.io.gray import check_signal
from bus_monai.io.image import SourceImage
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
    check_choice("sensitivity", sensitivity, get_args(Sensitivity))
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
    )
    return Result(found.labels > 0, probability, found.lesions, source.pixels, found.labels)


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
