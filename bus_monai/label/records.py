"""What is kept of how a label was made: who, from what, in what time; and what annotators have not saved yet."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, check_choice, check_number, reading
from bus_monai.io.atomic import write_json

ANNOTATOR = re.compile(r"[^\W_][\w .'-]*")
MAX_ANNOTATOR = 64
"""Bytes of a name."""
ORIGINS = ("drawn", "edited", "accepted")
EXTERNAL = "external client"
"""Origin of a label that another program than the page has sent, which does not say how it was made; what is a model's
result to the pixel was accepted, see :class:`Results`."""


class LabelRecord(TypedDict):
    """How a label was made, which is kept with it beside its version and when it was saved (``version``, ``ts``).

    Args:
        annotator: who saved it.
        origin: ``drawn`` by hand, or a model's result that was ``edited``, or ``accepted`` as it was.
        model: whose result it was, ``None`` where it was drawn.
        model_version: of that model, ``None`` where it is not known.
        seconds: that the annotator worked on it.
        normal: whether the annotator said that there is no lesion.
    """

    annotator: str
    origin: Literal["drawn", "edited", "accepted"]
    model: str | None
    model_version: int | None
    seconds: float
    normal: bool


def read_record(sent: Mapping[str, Any]) -> LabelRecord:
    """Return the record that a request brings.

    Raises:
        UserError: a part is missing, or of another kind.
    """
    origin: Any = sent.get("origin")
    model, version = sent.get("model"), sent.get("model_version")
    check_choice("origin", origin, ORIGINS)
    if origin == "drawn":
        model = version = None
    elif not isinstance(model, str):
        raise UserError("The label is a model's result: send its name as 'model'.", key="model")
    elif version is not None:
        check_number("model_version", version, at_least=0, whole=True)
    check_number("seconds", sent.get("seconds"), at_least=0)
    check_choice("normal", sent.get("normal", False), (True, False))
    return {
        "annotator": check_annotator(sent.get("annotator")),
        "origin": origin,
        "model": model,
        "model_version": version,
        "seconds": float(sent["seconds"]),
        "normal": sent.get("normal", False),
    }


def client_record(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept with a label that another program sends, such as 3D Slicer.

    Args:
        sent: by the program; its ``client_id`` is taken for who saved it, where that is a name.
    """
    name = sent.get("client_id")
    with suppress(UserError):
        return {**sent, "origin": EXTERNAL, "annotator": check_annotator(name)}
    return {**sent, "origin": EXTERNAL, "annotator": None}


def check_annotator(name: Any) -> str:
    """Return the name of an annotator.

    Raises:
        UserError: it is none.
    """
    if not isinstance(name, str) or not ANNOTATOR.fullmatch(name) or len(name.encode()) > MAX_ANNOTATOR:
        raise UserError(
            f"'annotator' is no name: send up to {MAX_ANNOTATOR} letters, digits, blanks, '.', '-' and '_', a letter "
            "or digit first.",
            key="annotator",
        )
    return name


def read_kept(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file of the server holds, ``None`` where there is none.

    Raises:
        UserError: it is broken.
    """
    if not path.is_file():
        return None
    with reading(path, "JSON", errors=(ValueError, TypeError), remedy="remove it"):
        return dict(json.loads(path.read_text(encoding="utf-8")))


class Results:
    """What models found in images, so that a label that another program than the page sends back as it was is known.

    Args:
        folder: a file for each image and mask, named by their hash; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, image: str, digest: str, model: str, version: int) -> None:
        """Remember the :func:`mask_digest` of what a version of a model gave."""
        path = self._path(image, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"model": model, "model_version": version})

    def find(self, image: str, digest: str) -> dict[str, Any] | None:
        """Return the ``model`` and ``model_version`` that gave a mask, ``None`` where none did."""
        return read_kept(self._path(image, digest))

    def _path(self, image: str, digest: str) -> Path:
        return self.folder / image / f"{digest}.json"


def mask_digest(labels: Iterable[NDArray[np.integer]]) -> str:
    """Return the SHA-256 of where there are lesions in labels (H, W), one per frame, whatever their numbers."""
    total = hashlib.sha256()
    for frame in labels:
        total.update(np.packbits(frame > 0).tobytes())
    return total.hexdigest()


class Drafts:
    """What annotators have drawn and not saved yet: a file for each image and annotator, whole or not there.

    A draft is of the tab that kept it. Another ``tab`` of the annotator leaves it alone, unless it is the one that this
    tab has ``seen``, by its ``id``, and goes on from; what says no ``tab`` takes whichever there is.

    Args:
        folder: of the files; need not exist.
    """

    _turn = Lock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, image: str, annotator: str, content: Mapping[str, Any]) -> None:
        """Keep a draft in place of the one before.

        Raises:
            UserError: that one is of another tab.
        """
        path = self._path(image, annotator)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._turn:
            if _is_of_another(path, content.get("tab"), content.get("seen")):
                raise UserError(
                    f"Another tab has a draft of '{image}' by '{annotator}', which stays: save the label here, or open "
                    "the image anew."
                )
            write_json(path, {**content, "id": secrets.token_hex(8), "ts": int(time.time())})

    def read(self, image: str, annotator: str) -> dict[str, Any] | None:
        """Return a draft as it was kept, with its ``id`` and its time as ``ts``; ``None`` where there is none."""
        return read_kept(self._path(image, annotator))

    def remove(self, image: str, annotator: str, *, tab: str | None = None, seen: str | None = None) -> None:
        """Remove a draft, if there is one and it is of no other tab."""
        path = self._path(image, annotator)
        with self._turn:
            if not _is_of_another(path, tab, seen):
                path.unlink(missing_ok=True)

    def annotators(self, image: str) -> list[str]:
        """Return who has a draft of an image."""
        return sorted(path.stem for path in (self.folder / image).glob("[!.]*.json"))

    def _path(self, image: str, annotator: str) -> Path:
        return self.folder / image / f"{check_annotator(annotator)}.json"


def _is_of_another(path: Path, tab: str | None, seen: str | None) -> bool:
    kept = read_kept(path) if tab else None
    # one of before there were tabs has neither
    return kept is not None and kept.get("tab") != tab and kept.get("id", "") != seen
