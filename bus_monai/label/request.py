"""What a request brings: JSON objects, files that are gone with it, and what an image is to be segmented with."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple, TypeAlias

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from bus_monai.errors import UserError, check_choice, check_number, first_line
from bus_monai.geometry.box import Box
from bus_monai.inference.backends.backend import SENSITIVITIES, Sensitivity
from bus_monai.interaction.outline import Click
from bus_monai.io.nifti import StoredOrder
from bus_monai.label.contours import OUTLINE_TOLERANCE_PX

MAX_FILES, MAX_FIELDS = 2, 8
"""Parts of a form."""
MAX_DEPTH = 32
"""Lists and objects within one another."""
MAX_WHOLE = 2**63


def read_object(text: str | bytes, name: str) -> dict[str, Any]:
    """Read a JSON object whose numbers and texts can be written as JSON again.

    Args:
        text: from a client; without any the object is empty.
        name: of what it is, for the sentence.

    Raises:
        UserError: it is none.

    Example:
        >>> read_object('{"max_epochs": 2}', "params")
        {'max_epochs': 2}
        >>> read_object('{"max_epochs": NaN}', "params")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: params is no JSON object (NaN is no JSON): send one, such as {}.
    """
    try:
        found = json.loads(text or "{}", parse_constant=_refuse_constant)
        _check_parts(found)
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON object ({first_line(error)}): send one, such as {{}}.", key=name) from error
    return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _check_parts(found: Any) -> None:
    parts = [(found, 0)]
    while parts:
        part, depth = parts.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} times")
        if (isinstance(part, float) and not math.isfinite(part)) or (isinstance(part, int) and abs(part) > MAX_WHOLE):
            raise ValueError("a number is too large")
        if isinstance(part, str):
            part.encode()  # half of a surrogate pair is no text
        elif isinstance(part, dict):
            parts += [(one, depth + 1) for pair in part.items() for one in pair]
        elif isinstance(part, list):
            parts += [(one, depth + 1) for one in part]


async def _json_body(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = await run_in_threadpool(read_object, await request.body(), "The body")
    return found


JsonBody: TypeAlias = Annotated[dict[str, Any], Depends(_json_body)]
"""The body of a request as a JSON object, read beside the event loop."""


@dataclass(frozen=True)
class Form:
    """What a form brings.

    Args:
        texts: by their names.
        files: by their names.
    """

    texts: dict[str, str]
    files: dict[str, UploadFile]

    def object(self, name: str) -> dict[str, Any]:
        """Return a field that is a JSON object, see :func:`read_object`."""
        return read_object(self.texts.get(name, ""), name)

    def file(self, name: str) -> UploadFile:
        """Return a file.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.files:
            raise UserError(f"The request has no file '{name}': send it as multipart/form-data.", key=name)
        return self.files[name]


async def _form(request: Request) -> AsyncIterator[Form]:
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as sent:
        texts = {name: value for name, value in sent.items() if isinstance(value, str)}
        files = {name: value for name, value in sent.items() if isinstance(value, UploadFile)}
        yield Form(texts, files)


FormBody: TypeAlias = Annotated[Form, Depends(_form)]
"""The body of a request as a form; its files have no name on the disk."""


@contextmanager
def uploaded(file: UploadFile, name: str) -> Iterator[Path]:
    """Yield the path of a file that was sent, under a name in a folder of its own, which then goes."""
    with tempfile.TemporaryDirectory(prefix="bus_monai-") as folder:
        path = Path(folder) / name
        with path.open("wb") as copy:
            shutil.copyfileobj(file.file, copy)
        yield path


@contextmanager
def scratch(write: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """Yield a file without a name that ``write`` has filled, from its beginning."""
    with tempfile.TemporaryFile() as file:
        write(file)
        file.seek(0)
        yield file


class FramePrompts(NamedTuple):
    """Clicks and box of an annotator on one frame.

    Args:
        clicks: in their order.
        box: around one lesion.
    """

    clicks: list[Click]
    box: Box | None


def read_prompts(request: Mapping[str, Any], order: StoredOrder, size: tuple[int, int]) -> dict[int, FramePrompts]:
    """Return the prompts of a request by frame, from 0.

    Args:
        request: ``clicks`` of [column, row, frame, 1 or 0] in their order, pixels of the picture as it is shown, or
            what MONAI Label's clients send, ``foreground`` and ``background`` of [column, row, frame], indices of the
            values as they are stored, where the frame may lack; and ``roi``, [left, right, top, bottom, frame], beside
            ``clicks`` of the picture, else as stored.
        order: how the image is stored.
        size: of the picture, (height, width).

    Raises:
        UserError: one is no list of numbers.
    """
    clicks: dict[int, list[Click]] = {}
    boxes: dict[int, Box] = {}
    try:
        for column, row, frame, positive in _clicks(request, order, size):
            clicks.setdefault(frame, []).append(Click(row, column, bool(positive)))
        if request.get("roi"):
            left, right, top, bottom, frame = (*(round(n) for n in request["roi"][:5]), 0)[:5]
            box = Box(top, left, bottom, right)
            boxes[frame] = box if "clicks" in request else order.box_to_picture(box, size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            "The prompts are no lists of numbers: send 'clicks' of [column, row, frame, 1 or 0] and 'roi' as [left, "
            "right, top, bottom, frame]."
        ) from error
    return {frame: FramePrompts(clicks.get(frame, []), boxes.get(frame)) for frame in sorted({*clicks, *boxes})}


def _clicks(request: Mapping[str, Any], order: StoredOrder, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    found = []
    for key, positive in (("foreground", 1), ("background", 0)):
        for point in request.get(key) or ():
            first, second, frame = (*(round(n) for n in point), 0)[:3]
            pixel = order.box_to_picture(Box(second, first, second + 1, first + 1), size)
            found.append((pixel.left, pixel.top, frame, positive))
    return [*found, *(tuple(round(n) for n in click) for click in request.get("clicks") or ())]


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
