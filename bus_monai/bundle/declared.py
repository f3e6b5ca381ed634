"""What a bundle declares of its settings, and the check of those that come with weights, over HTTP or from a folder.

MONAI's parser runs what a config says: a text that begins with ``$`` is an expression, with ``@`` a reference, with
``%`` the content of any file, and the key ``_target_`` names what is called (GHSA-873f-pvrv-4x83). So whatever stands
neither in a bundle's own config nor on the command line of the person who starts it is checked here before. Imports
neither torch nor MONAI.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bus_monai.bundle.registry import INFERENCE_CONFIG, TRAIN_CONFIG
from bus_monai.bundle.settings import CODE_MARKS, read_config, set_by_user
from bus_monai.errors import UserError, did_you_mean

SCHEMA_KEY = "settings_schema"
"""Group of ``train.json``: what the defaults in ``settings`` do not say of themselves, in words of JSON Schema."""
MAX_NUMBER = 2**32 - 1
"""Largest number of a setting that declares none: the largest seed."""
MAX_TEXT, MAX_ITEMS, MAX_DEPTH = 1000, 200, 4
"""Of any plain data: characters of a text, values of a list or mapping, and how deep they lie in each other."""
_NAME = re.compile(r"[A-Za-z]\w*")
_REFERENCE = re.compile(r"@settings(?:#|::)(\w+)")

Schema: TypeAlias = Mapping[str, Any]
"""Some of ``type`` (one or several), ``minimum``, ``maximum``, ``minItems``, ``maxItems``, ``items`` and
``description``."""
KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "string": (str, "a text"),
    "array": (list, "a list"),
    "object": (dict, "names with values"),
    "null": (type(None), "null"),
}
"""JSON Schema's types, what JSON of each is read as, and in words."""


def check_plain(value: Any, where: str, key: str = "", depth: int = 0) -> None:
    """Check that a value is plain data: no text and no key in it, however deep, means anything to MONAI's parser.

    Args:
        value: as JSON is read.
        where: what holds it, in words to begin a sentence with.
        key: its path there.
        depth: of the mappings and lists around it.

    Raises:
        UserError: a text begins as code does (:data:`~bus_monai.bundle.settings.CODE_MARKS`), a key is no name, or it
            is larger than any setting.

    Example:
        >>> check_plain({"image_size": ["$1 + 1", 256]}, "The file 'model.safetensors'")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: The file 'model.safetensors' sets 'image_size#0' to '$1 + 1', which MONAI would \
run or look up: give plain data, and use no file of somebody whom you do not trust.
    """
    if isinstance(value, str):
        if value.lstrip().startswith(CODE_MARKS):
            raise _code(where, key, value)
        too_large = len(value) > MAX_TEXT
    elif isinstance(value, Mapping | list):
        too_large = len(value) > MAX_ITEMS or depth >= MAX_DEPTH
    else:
        too_large = value is not None and not isinstance(value, int | float)
    if too_large:
        raise UserError(f"{where} sets '{key}' to more than any setting holds: give plain data.", key=key)
    if isinstance(value, Mapping | list):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            path = f"{key}#{name}" if key else str(name)
            if isinstance(value, Mapping) and not _NAME.fullmatch(str(name)):
                raise _code(where, path, item)
            check_plain(item, where, path, depth + 1)


def _code(where: str, key: str, value: Any) -> UserError:
    return UserError(
        f"{where} sets '{key[:100]}' to {_shown(value)}, which MONAI would run or look up: give plain data, and use no "
        "file of somebody whom you do not trust.",
        key=key,
    )


def check_settings(settings: Mapping[str, Any], bundle: Path, where: str) -> None:
    """Check settings from elsewhere: plain data of names that a bundle has, of the type and range that it declares.

    Args:
        settings: to check.
        bundle: folder of the bundle.
        where: what holds them, in words to begin a sentence with.

    Raises:
        UserError: one of them is not; it is named.
    """
    check_plain(settings, where)
    declared = declared_settings(bundle)
    for key in settings:
        if key not in declared:
            raise UserError(
                f"{where} sets '{key}'{did_you_mean(key, declared)}, which is no setting of the bundle "
                f"'{bundle.name}': correct or remove it.",
                key=key,
            )
    check_values(settings, declared, where)


def check_values(settings: Mapping[str, Any], declared: Mapping[str, Schema], where: str) -> None:
    """Check that settings are of the types and ranges that a bundle declares, as far as it declares them.

    Args:
        settings: to check.
        declared: by :func:`declared_settings`.
        where: what holds them, in words to begin a sentence with.

    Raises:
        UserError: one of them is not; it is named.
    """
    for key, value in settings.items():
        if key in declared and not _fits(value, declared[key]):
            raise UserError(f"{where} sets '{key}' to {_shown(value)}: give {_words(declared[key])}.", key=key)


def declared_settings(bundle: Path) -> dict[str, Schema]:
    """Return what a bundle declares of each of its settings: its default, and what the group ``settings_schema`` adds.

    A name that stands in that group alone is a plain value beside the settings that may come with them.

    Args:
        bundle: folder of the bundle; one that is not trained by it has ``inference.json`` alone.
    """
    configs = bundle / "configs"
    train = configs / TRAIN_CONFIG
    config = read_config(train if train.is_file() else configs / INFERENCE_CONFIG)
    defaults, added = config["settings"], config.get(SCHEMA_KEY, {})
    return {key: _of_default(defaults.get(key), defaults) | added.get(key, {}) for key in [*defaults, *added]}


def described_settings(bundle: Path) -> dict[str, tuple[Any, str]]:
    """Return default and meaning of what a user sets in a bundle, the folder of the data first.

    A meaning is that of ``description`` in the bundle's ``settings_schema``, else that of the key in all bundles.

    Args:
        bundle: folder of the bundle.
    """
    config = read_config(bundle / "configs" / TRAIN_CONFIG)
    meanings: dict[str, str] = json.loads(Path(__file__).with_name("keys.json").read_text(encoding="utf-8"))
    own = {key: schema["description"] for key, schema in config.get(SCHEMA_KEY, {}).items() if "description" in schema}
    known = {"dataset_dir": "generated phantoms"} | set_by_user(config)
    return {key: (value, own.get(key, meanings.get(key, ""))) for key, value in known.items()}


def _of_default(default: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(default, str) and default.startswith(CODE_MARKS):
        reference = _REFERENCE.fullmatch(default)
        return _of_default(defaults.get(reference[1]), defaults) if reference else {}
    if isinstance(default, list):
        items = _of_default(default[0], defaults) if default else {}
        return {"type": "array", "items": items, "minItems": len(default), "maxItems": len(default)}
    for name, (kind, _) in KINDS.items():
        if name != "null" and isinstance(default, kind):
            return {"type": name}
    return {}


def _fits(value: Any, schema: Schema) -> bool:
    names = _types(schema) or tuple(KINDS)
    if not any(_is(value, name) for name in names):
        return False
    if isinstance(value, list):
        few, many = _length(schema)
        return few <= len(value) <= many and all(_fits(item, _of_items(schema)) for item in value)
    if isinstance(value, dict):
        return all(_fits(item, _of_items(schema)) for item in value.values())
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _range(schema)
        return bool(low <= value <= high)  # what is no number at all is in no range
    return True


def _is(value: Any, name: str) -> bool:
    # to Python a truth value is a whole number
    return isinstance(value, KINDS[name][0]) and (name == "boolean" or not isinstance(value, bool))


def _types(schema: Schema) -> tuple[str, ...]:
    wanted = schema.get("type", ())
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _range(schema: Schema) -> tuple[float, float]:
    return schema.get("minimum", 0), schema.get("maximum", MAX_NUMBER)


def _length(schema: Schema) -> tuple[int, int]:
    return schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)


def _of_items(schema: Schema) -> dict[str, Any]:
    """Return the schema of what is in a list or mapping: its range holds for each number."""
    low, high = _range(schema)
    return {"minimum": low, "maximum": high, **schema.get("items", {})}


def _words(schema: Schema) -> str:
    return " or ".join(_word(name, schema) for name in _types(schema)) or "plain data"


def _word(name: str, schema: Schema) -> str:
    (low, high), (few, many) = _range(schema), _length(schema)
    if name in ("integer", "number"):
        return f"{KINDS[name][1]} from {low} to {high}"
    if name == "array":
        return f"a list of {many if few == many else f'{few} to {many}'}, each {_words(_of_items(schema))}"
    return KINDS[name][1]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
