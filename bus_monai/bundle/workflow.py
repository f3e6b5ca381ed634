"""The workflow that runs the bundles' configs, and what the configs ask of it."""

from __future__ import annotations

import inspect
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from types import TracebackType
from typing import Any

import torch
from monai.bundle.config_item import ComponentLocator, ConfigComponent
from monai.bundle.properties import InferProperties, MetaProperties, TrainProperties
from monai.bundle.utils import ID_SEP_KEY
from monai.bundle.workflows import ConfigWorkflow

from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.settings import write_settings
from bus_monai.errors import UserError, as_user_error, did_you_mean
from bus_monai.errors import check_choice as check_choice

ENTRY_KEYS = {"imports", "initialize", "run", "finalize", "training", "evaluating", "inferring", "stage", "_meta_"}
"""Top-level keys that MONAI, a user's command or a pipeline of bundles names, so that no other key need refer to
them."""


def current_workflow() -> ConfigWorkflow | None:
    """Return the workflow whose config is being evaluated, or ``None`` outside of one.

    MONAI gives an expression no handle on its workflow, so it is looked up on the call stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigWorkflow):
            return owner
        frame = frame.f_back
    return None


def bundle_root(name: str) -> str:
    """Return the folder of the bundle whose config is being run, else of the bundle called ``name``."""
    workflow = current_workflow()
    if workflow is None:
        return str(find_bundle(name))
    configs = workflow.config_root_path.resolve()
    return str(configs.parent if configs.name == "configs" else configs)


def resolved_config() -> dict[str, Any]:
    """Return the whole config of the current workflow, overrides included, as text and numbers.

    References and expressions that have been evaluated to a plain value stand as that value.
    """
    workflow = current_workflow()
    return {} if workflow is None else _resolved(workflow.parser.get(), workflow.parser.ref_resolver.resolved_content)


def _resolved(node: Any, values: Mapping[str, Any], path: str = "") -> Any:
    if isinstance(node, Mapping):
        return {
            key: _resolved(value, values, f"{path}{ID_SEP_KEY}{key}" if path else key) for key, value in node.items()
        }
    if isinstance(node, list):
        return [_resolved(value, values, f"{path}{ID_SEP_KEY}{i}") for i, value in enumerate(node)]
    if isinstance(node, str) and node[:1] in ("@", "$"):
        value = values.get(path)
        if isinstance(value, (str, int, float, torch.device)) or (isinstance(value, list) and _plain(value)):
            return str(value) if isinstance(value, torch.device) else value
    return node


def _plain(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (str, int, float)) for value in values)


def save_settings(folder: str | Path) -> None:
    """Leave beside the weights what the current workflow trains with, so that others need not be told."""
    write_settings(Path(folder), resolved_config())


def config_files() -> list[str]:
    """Return the config files of the current workflow's bundle."""
    workflow = current_workflow()
    return [] if workflow is None else sorted(str(path) for path in workflow.config_root_path.glob("*.json"))


def prepare() -> None:
    """Check the current workflow's config before anything of it is built, and let user errors end in one line.

    Raises:
        UserError: a key that nothing refers to, an argument that its component does not take, or a device that is not
            there.
    """
    sys.excepthook = _one_line_at_the_end
    # they repeat whatever ends a run, which is told in the end
    logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)
    workflow = current_workflow()
    if workflow is not None:
        _read_words(workflow)
        check_config(workflow.parser.get())
        _check_device(workflow.parser.get("device"))


WORDS = {"true": True, "false": False, "null": None}


def _read_words(workflow: ConfigWorkflow) -> None:
    """Take ``--key false`` for what it says: MONAI's command line hands on the text, and a text is true."""
    config = workflow.parser.get()
    for key, value in config.items():
        if isinstance(value, str) and value.lower() in WORDS:
            # both in place, since setting through the parser would forget what is parsed
            config[key] = WORDS[value.lower()]
            workflow.parser.ref_resolver.get_item(key).update_config(config[key])


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


def check_config(config: Mapping[str, Any]) -> None:
    """Find misspelt keys.

    MONAI takes any key on the command line, so a misspelt one would silently do nothing.

    Raises:
        UserError: a top-level key that nothing refers to, or an argument that its component does not take; the
            closest right name is in the message.
    """
    used = set(_references(config)) | ENTRY_KEYS
    for properties in (TrainProperties, InferProperties, MetaProperties):
        used |= {prop["id"].split("::")[0] for prop in properties.values()}
    for key in config:
        if key not in used:
            hint = did_you_mean(key, config.keys() - {key})
            raise UserError(f"The config key '{key}' does nothing{hint}: correct or remove it.")
    locator = ComponentLocator()
    for path, component in _components(config):
        _check_arguments(path, component, locator)


def _check_arguments(path: str, component: Mapping[str, Any], locator: ComponentLocator) -> None:
    name = ConfigComponent(component, locator=locator).resolve_module_name()
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
    """Yield the top-level keys that any text of the config refers to."""
    if isinstance(node, str):
        if node[:1] in "@$%":
            yield from re.findall(r"[@%]([A-Za-z_]\w*)", node)
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


def _one_line_at_the_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback, and below it the sentence that the user can act on."""
    traceback.print_exception(kind, error, trace)
    sentence = as_user_error(error)
    if sentence is not None:
        print(f"\nbus_monai: {sentence}", file=sys.stderr)
