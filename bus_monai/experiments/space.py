"""What a search varies. Imports neither torch nor Optuna."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError
from bus_monai.setting_text import parse_value

PRESETS = "sweeps.json"
_RANGE = re.compile(r"(?P<low>[^.,:]+(?:\.\d+)?(?:e[+-]?\d+)?)\.\.(?P<high>[^,:]+?)(?P<log>:log)?")


@dataclass(frozen=True)
class Choice:
    """A key of a config and the values it may take.

    Args:
        key: of the config.
        values: to choose from; empty for a range.
        low: lower end of a range.
        high: upper end.
        log: whether the range is even in logarithms.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def parse_space(texts: Sequence[str]) -> list[Choice]:
    """Read ``KEY=A,B,C`` and ``KEY=LOW..HIGH``, the latter with ``:log`` where it is even in logarithms.

    Raises:
        UserError: a text of another form, or a key that comes twice.
    """
    space = [_parse(text) for text in texts]
    keys = [choice.key for choice in space]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise UserError(f"--vary names '{twice}' twice: give all its values at once.")
    return space


def read_preset(bundle: Path, name: str) -> list[str]:
    """Read what a preset of ``configs/sweeps.json`` varies, as :func:`parse_space` takes it.

    Raises:
        UserError: the bundle has no such preset.
    """
    file = bundle / "configs" / PRESETS
    presets: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if name not in presets:
        raise UserError(
            f"The bundle {bundle.name} has no preset '{name}': use one of {', '.join(presets) or 'none, it has none'}."
        )
    return presets[name]


def _parse(text: str) -> Choice:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise UserError(f"--vary '{text}' varies nothing: write KEY=A,B,C or KEY=LOW..HIGH or KEY=LOW..HIGH:log.")
    match = _RANGE.fullmatch(values)
    if match is None:
        return Choice(key, tuple(parse_value(value) for value in values.split(",")))
    try:
        low, high = float(match["low"]), float(match["high"])
    except ValueError as error:
        raise UserError(f"--vary '{text}' has a range that is not of numbers: write KEY=LOW..HIGH.") from error
    if not low < high or (match["log"] and low <= 0):
        raise UserError(f"--vary '{text}' has no range: LOW must be below HIGH, and above 0 with ':log'.")
    return Choice(key, low=low, high=high, log=bool(match["log"]))
