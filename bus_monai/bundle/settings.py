"""Settings of a model, as the command line writes them and as they stand beside its weights.

Imports neither torch nor MONAI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_monai.bundle.registry import CHECKPOINT_FILE, TRAINED_FILE
from bus_monai.errors import UserError, reading
from bus_monai.io.atomic import write_json
from bus_monai.io.ours import MARK, check_replaced, not_ours

CODE_MARKS = ("$", "@", "%")
"""What begins a text that MONAI's parser runs or looks up."""
SETTINGS_FILE = "settings.json"
SWEEP_FILE = "sweep.json"
"""In a folder of many trainings: the bundle, the data and the settings that all of them share."""
MAX_SETTINGS_CHARACTERS = 100_000
"""Of a file of settings; those of a bundle are a thousand."""
TRAINING_SETTINGS = frozenset({"seed", "experiment_name", "save_interval"})
"""That those of every bundle have: what tells a file of ours."""
RENAMED_SETTINGS: Mapping[str, str] = {"frame": "box"}
"""Names of settings in the files of weights trained before, and what they are called now."""


def path_text(path: str | Path) -> str:
    """Return a path as a config takes it: no name of a file or folder begins as code does.

    Example:
        >>> path_text("runs/a/model.pt"), path_text("$x/model.pt")
        ('runs/a/model.pt', './$x/model.pt')
    """
    return f"./{path}" if str(path).startswith(CODE_MARKS) else str(path)


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


def read_config(path: Path) -> dict[str, Any]:
    """Read a config of a bundle with what it extends.

    Args:
        path: a JSON file; its key ``extends`` names another one in the same folder.

    Returns:
        The keys of both, see :func:`extended`.
    """
    return extended(json.loads(path.read_text(encoding="utf-8")), path.parent)


def extended(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a config with the keys of the file in ``folder`` that it extends, and of the one which that extends.

    A key stands as in the config itself where both have it, but a group that does not say what it makes
    (``_target_``) holds only what differs: its keys replace or join those of the same group below, at any depth.
    Settings are put together one by one, and imports add up.
    """
    own = {key: value for key, value in config.items() if key != "extends"}
    if "extends" not in config:
        return own
    # another name for a key, such as for what the file runs, holds within the file alone
    base = {key: value for key, value in read_config(folder / config["extends"]).items() if not _alias(value)}
    whole: dict[str, Any] = _with_rest(own, base)
    if "settings" in base:
        whole["settings"] = base["settings"] | own.get("settings", {})
    if imports := [*base.get("imports", []), *own.get("imports", [])]:
        whole["imports"] = imports
    return whole


def _with_rest(own: Any, base: Any) -> Any:
    if not (isinstance(own, Mapping) and isinstance(base, Mapping)) or "_target_" in own:
        return own
    return {**base, **{key: _with_rest(value, base[key]) if key in base else value for key, value in own.items()}}


def set_by_user(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a user sets in a config and its defaults: the settings, and the plain values beside them.

    Those beside say where and how a run works, and the settings what comes out. Whatever is made or run is a mapping
    or a list.
    """
    plain = {key: value for key, value in config.items() if not (isinstance(value, (Mapping, list)) or _alias(value))}
    settings: dict[str, Any] = config["settings"]
    return plain | settings


def _alias(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("%")


def write_settings(
    folder: str | Path, settings: Mapping[str, Any], *, enabled: bool = True, resume: bool = False
) -> None:
    """Write ``settings.json`` beside the weights: the settings that they are trained with.

    Args:
        folder: of the weights.
        settings: of the config, plain values.
        enabled: ``False`` on all processes but the first.
        resume: whether a training goes on: its protocol and seed must be those of the file that it replaces, since
            they decide which images are tested.

    Raises:
        UserError: the folder cannot be written to, or holds settings or weights of something else, or a training that
            goes on would split its data anew.
    """
    path = Path(folder) / SETTINGS_FILE
    if resume:
        _check_same_split(path, settings)
    if not enabled:
        return
    weights = [path.with_name(name) for name in (TRAINED_FILE, CHECKPOINT_FILE)]
    foreign = [file for file in weights if file.exists()]
    if path.exists():
        foreign = [] if _is_of_a_training(path) else [path]
    if foreign:
        raise not_ours(foreign[0], "ckpt_dir")
    write_json(path, settings)


def _check_same_split(path: Path, settings: Mapping[str, Any]) -> None:
    now = settings.get("protocol"), settings.get("seed")
    before = learned_split(path.with_name(TRAINED_FILE), *now)
    for key, old, new in zip(("protocol", "seed"), before, now, strict=True):
        if old != new:
            raise UserError(
                f"The training that resume goes on with has the {key} {old} by '{path}', and not {new}, which would "
                f"test images that it has learned from: give --{key} {old}, or train in another folder.",
                path=path,
                key=key,
            )


def _is_of_a_training(path: Path) -> bool:
    try:
        return read_settings(path.with_name(TRAINED_FILE)).keys() >= TRAINING_SETTINGS
    except UserError:
        return False


def holds_weights(out: Path) -> bool:
    """Tell whether a training below a folder has left weights or a checkpoint."""
    return any(path for name in (TRAINED_FILE, CHECKPOINT_FILE) for path in out.glob(f"*/{name}"))


def keep_to_first_start(out: Path, bundle: str, overrides: Mapping[str, Any], *, scored: bool = False) -> None:
    """Record what all trainings of a folder share, or check that it is what the first start recorded.

    Until something was trained a start may differ from those before it: their data or settings may have been wrong.

    Args:
        out: the folder, which holds a folder for each training.
        bundle: name of the bundle.
        overrides: keys of ``train.json``, ``dataset_dir`` among them.
        scored: whether scores of trainings lie there, which count as trained also where their weights were deleted.

    Raises:
        UserError: trainings of another bundle, data set or settings lie there, or a record that is not ours.
    """
    path = out / SWEEP_FILE
    check_replaced([path], option="--out")
    data = overrides.get("dataset_dir")
    shared = dict(overrides) | ({"dataset_dir": str(Path(data).resolve())} if data else {})
    now = json.loads(json.dumps({"bundle": bundle, **shared}, default=str))
    if (scored or holds_weights(out)) and path.is_file():
        with reading(path, "JSON", errors=(ValueError,), remedy="give another --out"):
            first = json.loads(path.read_text(encoding="utf-8"))[MARK]
        if other := [key for key in first | now if first.get(key) != now.get(key) or (key in first) != (key in now)]:
            raise UserError(
                f"'{out}' holds trainings that differ in {', '.join(other)}: give another --out, or what they began "
                f"with, which is in {SWEEP_FILE}.",
                path=path,
                key="--out",
            )
    write_json(path, {MARK: now})


def learned_split(weights: Path, protocol: Any, seed: Any) -> tuple[Any, Any]:
    """Return protocol and seed of the split that weights learned by, those given where their settings do not say.

    Raises:
        UserError: the settings beside the weights are broken.
    """
    settings = read_settings(weights)
    return settings.get("protocol", protocol), settings.get("seed", seed)


def read_settings(weights: Path) -> dict[str, Any]:
    """Read the settings beside a file of weights, or in it where it was shipped; none where there are none.

    They are what the file says: a :class:`~bus_monai.bundle.models.TrainedModel` checks them.

    Raises:
        UserError: the file is broken.
    """
    shipped = weights.suffix == ".safetensors"
    path = weights if shipped else weights.parent / SETTINGS_FILE
    if not path.is_file():
        return {}
    with reading(path, "JSON", errors=(ValueError,), remedy="correct or remove it"):
        text = _shipped_settings(path) if shipped else _start_of(path)
        if len(text) > MAX_SETTINGS_CHARACTERS:
            raise UserError(f"'{path}' has far more settings than any training writes: correct or remove it.")
        settings = json.loads(text)
    if not isinstance(settings, dict):
        raise UserError(f"'{path}' holds no settings: correct or remove it.")
    known: dict[str, Any] = settings
    return {RENAMED_SETTINGS.get(key, key): value for key, value in known.items()}


def _start_of(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_SETTINGS_CHARACTERS + 1)


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
