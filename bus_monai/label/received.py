"""What a request brings: JSON objects, and files, which lie on the disk no longer than the request."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeAlias

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from bus_monai.errors import UserError, first_line

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
