"""Settings as the command line writes them. Imports neither torch nor MONAI."""

from __future__ import annotations

import json
from typing import Any

from bus_monai.errors import UserError


def parse_value(text: str) -> Any:
    """Read JSON, or else take the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_setting(text: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``.

    Raises:
        UserError: something else.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set '{text}' sets nothing: write --set KEY=VALUE.")
    return key, parse_value(value)
