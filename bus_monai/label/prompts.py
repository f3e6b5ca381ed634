"""Clicks and boxes as clients send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bus_monai.errors import UserError
from bus_monai.interaction.click import Click
from bus_monai.interaction.fill_box import Box


class FramePrompts(NamedTuple):
    """What an annotator says of a frame.

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
            boxes[frame] = (left, top, right, bottom)
    except (TypeError, ValueError, OverflowError) as error:
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
