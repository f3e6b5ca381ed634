"""The side of :mod:`bus_monai.sources.readers` that opens files: a process that may die of one."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import cv2

from bus_monai.errors import UserError, first_line, user_error
from bus_monai.io.budget import Budget
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import OpenedSource, open_source, quiet_decoders
from bus_monai.sources.read import declared_pixels, read_images

MAX_AT_ONCE_PIXELS = 1_000_000
"""Of a picture that is sent with its head."""
HEADER_SHARE = 0.55
"""Of the memory, for what comes before the pixels."""


def serve() -> None:
    """Read what standard input asks for, one request a line, until it ends with the process that asks."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    set_limit("RLIMIT_CORE", 0)  # which would hold the image
    cv2.setNumThreads(1)
    for name in ("requests", "tqdm"):  # pydicom would load them to download what it is tested with
        sys.modules[name] = None  # type: ignore[assignment]
    # what a library prints is no answer, and may quote the file
    with os.fdopen(os.dup(1), "wb") as stream, quiet_decoders():
        answers = _Answers(stream)
        answers.tell({"ready": True})
        nothing = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nothing, number)
        with suppress(BrokenPipeError):
            answers.tell_all(map(json.loads, sys.stdin.buffer))


def set_limit(name: str, most: int) -> None:
    """Limit what this process may take, where the system can; ``name`` is a constant of ``resource``."""
    with suppress(ImportError, AttributeError, ValueError, OverflowError, OSError):
        import resource

        number = getattr(resource, name)
        resource.setrlimit(number, (most, resource.getrlimit(number)[1]))


def _set_limits(budget: Budget) -> None:
    set_limit("RLIMIT_AS", budget.memory_bytes)
    # should the process that asks die meanwhile
    set_limit("RLIMIT_CPU", int(time.process_time()) + budget.file_seconds + 1)


class _Answers:
    """Answers to requests: each a line of JSON, and the values of a frame behind its line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._source: OpenedSource | None = None

    def tell(self, answer: Mapping[str, Any], values: memoryview | bytes = b"") -> None:
        self._stream.write(json.dumps(answer).encode() + b"\n")
        self._stream.write(values)
        self._stream.flush()

    def tell_all(self, requests: Iterable[Mapping[str, Any]]) -> None:
        with ExitStack() as opened:
            for request in requests:
                self._tell_one(request, opened)

    def _tell_one(self, request: Mapping[str, Any], opened: ExitStack) -> None:
        budget = Budget.current()
        if "path" in request:
            budget = replace(budget, memory_bytes=int(budget.memory_bytes * HEADER_SHARE))
        _set_limits(budget)
        try:
            first = request.get("first", 0)
            if "path" in request:
                opened.close()
                self._source = None
                self._source = opened.enter_context(open_source(request["path"]))
                head = _head(self._source, request["identity"], budget)
                self.tell(head)
                if not head["follows"]:
                    return
                budget = Budget.current()
                _set_limits(budget)
            if self._source is not None:
                for image in islice(read_images(self._source), first, None):
                    self._tell_image(image)
                self.tell({"end": True})
        except BrokenPipeError:
            raise
        except Exception as error:  # a decoder's or a library's
            self.tell(_failure(error, self._source, budget))

    def _tell_image(self, image: SourceImage) -> None:
        sent = image.packed
        head = {
            "shape": sent.shape,
            "kind": sent.dtype.str,
            "spacing": image.spacing_mm,
            "frame": image.frame,
            "frames": image.frames,
            "regions": [(box.sides, spacing) for box, spacing in image.regions],
            "aspect": image.aspect,
            "notes": image.notes,
            "images": [box.sides for box in image.images],
        }
        self.tell(head, sent.data.cast("B"))


def _head(source: OpenedSource, identity: list[int], budget: Budget) -> dict[str, Any]:
    if source.identity != identity:
        raise UserError(f"'{source.path}' changed while it was read: run the command again.", path=source.path)
    modality, failure = "", None
    if source.kind == "dicom":
        from bus_monai.dicom.read import read_modality

        modality = read_modality(source)
        try:
            source.header  # noqa: B018 (it is read here before anyone else reads it)
        except UserError as error:
            failure = _failure(error, source, budget)
    pixels = declared_pixels(source)
    # about a picture there is nothing to ask before it is read
    follows = source.kind == "raster" and 0 < pixels <= MAX_AT_ONCE_PIXELS
    return {"pixels": pixels, "modality": modality, "failure": failure, "follows": follows}


def _failure(error: Exception, source: OpenedSource | None, budget: Budget) -> dict[str, Any]:
    found = user_error(error)
    if source is None:
        return {"error": str(found or error), "path": found and str(found.path), "key": None}
    if _is_memory(error):
        found = budget.too_big(source.path)
    text = what_is_wrong(source.path, error) if found is None else str(found)
    if source.kind == "dicom":
        from bus_monai.dicom.read import without_identifiers

        text = without_identifiers(text, source)
    return {"error": text, "path": str(source.path), "key": found and found.key}


def _is_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def what_is_wrong(path: Path, error: Exception) -> str:
    """Say what a library found in a file, of an element that it did not find which one."""
    lacks = ""
    if isinstance(error, KeyError) and error.args:
        lacks = str(error.args[0])
    elif isinstance(error, AttributeError) and "Dataset" in type(error.obj).__name__:
        lacks = error.name or ""
    if lacks:
        return f"'{path}' lacks the element {lacks}, or it is broken: fix the file or remove it."
    return f"'{path}' fails with {type(error).__name__}: {first_line(error)}"
