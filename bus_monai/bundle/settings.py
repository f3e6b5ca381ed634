"""Settings of a model, as the command line writes them and as they stand beside its weights.

Imports neither torch nor MONAI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError, reading
from bus_monai.io.atomic import atomic_file


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


SETTINGS_FILE = "settings.json"
MACHINE_SETTINGS = frozenset(
    {
        "bundle_root",
        "output_dir",
        "ckpt_dir",
        "dataset_dir",
        "device",
        "num_workers",
        "resume",
        "run_name",
        "parent_run",
        "skip_broken",
    }
)
"""Settings that say where and how a training ran, not what came out."""
RENAMED_SETTINGS = {"frame": "box"}
"""Names of settings in the files of weights trained before, and what they are called now."""


def write_settings(folder: Path, config: Mapping[str, Any]) -> Path:
    """Write the plain settings of a training's config, its top-level keys before ``datalist``."""
    settings = {}
    for key, value in config.items():
        if key == "datalist":
            break
        if (
            key not in MACHINE_SETTINGS
            and key not in ("imports", "_meta_")
            and not (isinstance(value, Mapping) and "_target_" in value)
        ):
            settings[key] = value
    path = folder / SETTINGS_FILE
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return path


def read_settings(weights: Path) -> dict[str, Any]:
    """Read the settings beside a file of weights, or in it where it was shipped; none where there are none.

    Raises:
        UserError: the file is broken.
    """
    shipped = weights.suffix == ".safetensors"
    path = weights if shipped else weights.parent / SETTINGS_FILE
    if not path.is_file():
        return {}
    with reading(path, "JSON", errors=(ValueError,), remedy="correct or remove it"):
        settings = json.loads(_shipped_settings(path) if shipped else path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise UserError(f"'{path}' holds no settings: correct or remove it.")
    known: dict[str, Any] = settings
    return {RENAMED_SETTINGS.get(key, key): value for key, value in known.items()}


def _shipped_settings(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    with reading(path, "safetensors", errors=(SafetensorError,)), safe_open(path, framework="np") as file:
        return str((file.metadata() or {}).get("settings", "{}"))


def keep_null(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``None`` as the text ``null``, which the workflows read: MONAI leaves an override that is ``None`` out.

    Example:
        >>> keep_null({"patience": None, "lr": 0.1})
        {'patience': 'null', 'lr': 0.1}
    """
    return {key: "null" if value is None else value for key, value in overrides.items()}
