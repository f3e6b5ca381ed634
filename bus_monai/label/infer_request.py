"""What a request to segment asks for: prompts on frames, numbers and the kind of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from bus_monai.errors import UserError, check_choice, check_number
from bus_monai.geometry.box import Box
from bus_monai.inference.backends.backend import SENSITIVITIES, Sensitivity
from bus_monai.interaction.outline import Click
from bus_monai.label.contours import OUTLINE_TOLERANCE_PX


class FramePrompts(NamedTuple):
    """Clicks and box of an annotator on one frame.

    Args:
        clicks: in their order.
        box: around one lesion.
    """

    clicks: list[Click]
    box: Box | None


def read_prompts(request: Mapping[str, Any]) -> dict[int, FramePrompts]:
    """Return the prompts of a request by frame, from 0.

    Args:
        request: ``clicks`` of [column, row, frame, 1 or 0] in their order, or what MONAI Label's clients send,
            ``foreground`` and ``background`` of [column, row, frame], where the frame may lack; and ``roi``, [left,
            right, top, bottom, frame].

    Raises:
        UserError: one is no list of numbers.
    """
    clicks: dict[int, list[Click]] = {}
    boxes: dict[int, Box] = {}
    try:
        for column, row, frame, positive in _clicks(request):
            clicks.setdefault(frame, []).append(Click(row, column, bool(positive)))
        if request.get("roi"):
            left, right, top, bottom, frame = (*(round(n) for n in request["roi"][:5]), 0)[:5]
            boxes[frame] = Box(top, left, bottom, right)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            "The prompts are no lists of numbers: send 'clicks' of [column, row, frame, 1 or 0] and 'roi' as [left, "
            "right, top, bottom, frame]."
        ) from error
    return {frame: FramePrompts(clicks.get(frame, []), boxes.get(frame)) for frame in sorted({*clicks, *boxes})}


def _clicks(request: Mapping[str, Any]) -> list[tuple[int, int, int, int]]:
    given = [(point, 1) for point in request.get("foreground") or ()]
    given += [(point, 0) for point in request.get("background") or ()]
    rows = [(*(*(round(n) for n in point), 0)[:3], positive) for point, positive in given]
    return [*rows, *(tuple(round(n) for n in click) for click in request.get("clicks") or ())]


DEFAULT_SENSITIVITY: Sensitivity = "balanced"
RESULT_SUFFIXES = (".png", ".nii.gz", ".nii", ".nrrd", ".json")
"""Of what every model can give; one that segments gives ``.dcm`` too."""
MAX_PARAMETER = 1e9
"""Of an area or a length in pixels."""


class InferOptions(NamedTuple):
    """What a request asks for beside prompts.

    Args:
        threshold: from which probability on a pixel is lesion.
        min_area: of the smallest lesion, in mm² where the file is calibrated, else in pixels; ``None`` for the usual.
        tolerance: pixels by which outlines may be straightened.
        suffix: of the result, ``None`` for the usual one.
        any_body_part: whether what shows no breast is segmented too.
        sensitivity: which of the model's operating points.
    """

    threshold: float
    min_area: float | None
    tolerance: float
    suffix: str | None
    any_body_part: bool
    sensitivity: Sensitivity

    @classmethod
    def of(cls, request: Mapping[str, Any], suffixes: Sequence[str] = RESULT_SUFFIXES) -> InferOptions:
        """Read a request.

        Raises:
            UserError: a value is of another kind, or out of range.
        """
        threshold, tolerance = read_number(request, "threshold", at_most=1), read_number(request, "tolerance")
        suffix = request.get("result_extension") or None
        if suffix is not None:
            check_choice("result_extension", suffix, suffixes)
        sensitivity = request.get("sensitivity") or DEFAULT_SENSITIVITY
        check_choice("sensitivity", sensitivity, SENSITIVITIES)
        for key in ("any_body_part", "save_label"):
            check_choice(key, request.get(key, False), (True, False))
        return cls(
            0.5 if threshold is None else threshold,
            read_number(request, "min_area"),
            OUTLINE_TOLERANCE_PX if tolerance is None else tolerance,
            suffix,
            request.get("any_body_part", False),
            sensitivity,
        )


def read_number(request: Mapping[str, Any], key: str, *, at_most: float = MAX_PARAMETER) -> float | None:
    """Return a number of a request, from 0 to ``at_most``, which may be sent as a text; ``None`` where it lacks.

    Raises:
        UserError: it is something else.
    """
    value = request.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    check_number(key, value, at_least=0, at_most=at_most)
    return float(value)
