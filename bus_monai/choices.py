"""What a user may choose from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from bus_monai.errors import UserError


def check_choice(key: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a user error unless ``value``, that of a config key or an option, is one of ``choices``."""
    if value not in choices:
        raise UserError(f"{key} is {value!r}: use one of {', '.join(map(str, choices))}.")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return the nearest of the known words, in brackets to stand behind the wrong one; empty where none is near.

    Example:
        >>> did_you_mean("trainnig", ["training", "test"])
        " (did you mean 'training'?)"
    """
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
