"""What stock MONAI lacks when it runs the config of a bundle: settings by plain names, and checks before it begins."""

from __future__ import annotations

import gc
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle.config_item import ComponentLocator, ConfigComponent
from monai.bundle.config_parser import ConfigParser
from monai.bundle.properties import InferProperties, MetaProperties, TrainProperties
from monai.bundle.utils import ID_SEP_KEY
from monai.bundle.workflows import ConfigWorkflow

from bus_monai.bundle.declared import check_values, declared_settings
from bus_monai.bundle.registry import TRAIN_CONFIG, find_bundle
from bus_monai.bundle.settings import extended, read_config
from bus_monai.errors import UserError, did_you_mean
from bus_monai.errors import check_choice as check_choice

MONAI_CLASSES = ComponentLocator()
"""By their short names; listing them takes a while, and is done once."""
GENERATIONS = 3
"""Of objects, as Python's garbage collector counts them."""
TRAINING = "training"
"""The key of what a config of a training runs."""
WORDS = {"true": True, "false": False, "null": None}
OF_MONAI = {ConfigParser.meta_key} | {
    prop["id"].split(ID_SEP_KEY)[0]
    for properties in (TrainProperties, InferProperties, MetaProperties)
    for prop in properties.values()
}
"""Top-level keys that MONAI itself reads."""


def complete_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the config that is being run whole, and check it before anything of it is built.

    What the config extends is filled in (:func:`~bus_monai.bundle.settings.extended`), and settings given by their
    plain names, as in ``--max_epochs 3``, go into ``settings``. Stands first in ``initialize`` and ``run``, and does
    its work once.

    Args:
        settings: the ``settings`` of that config.

    Returns:
        The config for a record, with settings and other plain values as they are used.

    Raises:
        UserError: a key that does nothing, an argument that its component does not take, a device that is not there, or
            a setting of a training that is not as the bundle declares it: its weights could be used by nothing.
    """
    workflow = _workflow_with(settings)
    folder = workflow.config_root_path.resolve()
    own = workflow.parser.get()
    config = extended(own, folder)
    inherited = {} if "extends" not in own else read_config(folder / own["extends"])
    chosen = config["settings"]
    for key in own.keys() & chosen.keys():
        chosen[key] = config.pop(key)
    for group in (config, chosen):
        # MONAI's command line hands on the text, and a text is true
        group.update({key: WORDS[value.lower()] for key, value in group.items() if _is_word(value)})
    check_config(config, {key: value for key, value in inherited.items() if key == "settings" or key not in own})
    _check_device(config["device"])
    if not isinstance(config["bundle_root"], str):
        config["bundle_root"] = str(folder.parent if folder.name == "configs" else folder)
    workflow.parser.set(config)
    workflow.parser.parse()
    record = _record(workflow.parser)
    if TRAINING in own and (folder.parent / "configs" / TRAIN_CONFIG).is_file():
        # as they will stand beside the weights
        values = json.loads(json.dumps(record["settings"]))
        check_values(values, declared_settings(folder.parent), "The training")
    return record


def _workflow_with(settings: Mapping[str, Any]) -> ConfigWorkflow:
    """Return the workflow whose config has these very settings, which MONAI does not hand to its expressions."""
    # the youngest objects first, among which it is, and not the million of a large process
    objects = (item for generation in range(GENERATIONS) for item in gc.get_objects(generation))
    workflows: Iterator[ConfigWorkflow] = (item for item in objects if ConfigWorkflow in type(item).__mro__)
    own = (item for item in workflows if item.parser.ref_resolver.resolved_content.get("settings") is settings)
    found = next(own, None)
    if found is None:
        raise RuntimeError(
            "The workflow that a config belongs to is not among the objects of this process (gc.freeze?)."
        )
    return found


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in WORDS


def _record(parser: ConfigParser) -> dict[str, Any]:
    config: dict[str, Any] = parser.get()
    plain = {
        key: parser.get_parsed_content(key) for key, value in config.items() if not isinstance(value, (dict, list))
    }
    texts = {key: str(value) if isinstance(value, torch.device) else value for key, value in plain.items()}
    rest = {key: value for key, value in config.items() if key not in ("settings", "imports", ConfigParser.meta_key)}
    return {
        **texts,
        "settings": parser.get_parsed_content("settings"),
        **{k: rest[k] for k in rest.keys() - texts.keys()},
    }


def bundle_root(name: str) -> str:
    """Return the folder of the bundle of this package called ``name``; a config that is run knows its own."""
    return str(find_bundle(name))


def config_files(bundle_root: str) -> list[str]:
    """Return the config files of the bundle in a folder."""
    return sorted(str(path) for path in (Path(bundle_root) / "configs").glob("*.json"))


def _check_device(device: Any) -> None:
    if not isinstance(device, str) or device.startswith(("@", "$")):
        return
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise UserError(
            f"The config key 'device' is '{device}', which PyTorch does not have here "
            f"({str(error).strip().splitlines()[0]}): give cpu, or leave it out."
        ) from error


def check_config(config: Mapping[str, Any], inherited: Mapping[str, Any] | None = None) -> None:
    """Find misspelled keys.

    MONAI takes any key on the command line, so a misspelled one would silently do nothing.

    Args:
        config: whole.
        inherited: what it extends, of which it need not use all.

    Raises:
        UserError: a plain value or a setting that nothing refers to, or an argument that its component does not take;
            the closest right name is in the message.
    """
    used = set(_references(config))
    inherited = inherited or {}
    settings = config.get("settings", {})
    for key, value in config.items():
        if key not in used | OF_MONAI | inherited.keys() and not _does_something(value):
            raise UserError(_does_nothing(key, [*settings, *config.keys() - {key}]))
    for key in settings.keys() - inherited.get("settings", {}).keys():
        if f"settings#{key}" not in used:
            raise UserError(_does_nothing(f"settings#{key}", [f"settings#{name}" for name in settings.keys() - {key}]))
    for path, component in _components(config):
        _check_arguments(path, component)


def _does_nothing(key: str, known: Iterable[str]) -> str:
    return f"The config key '{key}' does nothing{did_you_mean(key, known)}: correct or remove it."


def _does_something(value: Any) -> bool:
    """Whether a value is made or run, and not plain."""
    if isinstance(value, list):
        return any(isinstance(item, Mapping) or str(item)[:1] in "@$%" for item in value)
    return isinstance(value, Mapping)


def _check_arguments(path: str, component: Mapping[str, Any]) -> None:
    name = ConfigComponent(component, locator=MONAI_CLASSES).resolve_module_name()
    target = locate(name) if isinstance(name, str) and not name.startswith("$") else None
    if not callable(target):
        return
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for argument in component:
        if argument not in parameters and argument not in ConfigComponent.non_arg_keys:
            raise UserError(
                f"The config key '{path}#{argument}' is no argument of {component['_target_']}"
                f"{did_you_mean(argument, parameters)}: correct or remove it."
            )


def _references(node: Any) -> Iterator[str]:
    """Yield what any text of the config refers to: top-level keys, and settings as ``settings#name``."""
    if isinstance(node, str):
        if node[:1] in "@$%":
            for key, setting in re.findall(r"[@%]([A-Za-z_]\w*)(?:(?:#|::)(\w+))?", node):
                yield f"{key}#{setting}" if key == "settings" and setting else key
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _components(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _components(value, f"{path}#{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _components(value, f"{path}#{i}")
