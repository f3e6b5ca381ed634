"""Checks of a config before anything of it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.bundle.config_parser import ConfigParser

from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.bundle.workflow import _check_device, check_choice, check_config
from bus_monai.errors import UserError, user_error
from tests.user_errors import raises_user_error

CONFIG = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "max_epochs": 3,
    "g_lr": 0.1,
    "net": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 3},
    "optimizer": {"_target_": "torch.optim.Adam", "params": "$@net.parameters()", "lr": "@g_lr"},
    "training": ["$print(@max_epochs, @optimizer)"],
}


def test_a_right_config_passes() -> None:
    check_config(CONFIG)


def test_a_misspelt_key_is_named_with_the_closest() -> None:
    with raises_user_error("'max_epochs'", key="max_epoch"):
        check_config(CONFIG | {"max_epoch": 4})


def test_a_misspelt_argument_is_named_with_its_path() -> None:
    optimizer = CONFIG["optimizer"] | {"weight_decy": 0.1}
    with raises_user_error("torch.optim.Adam", "'weight_decay'", key="optimizer#weight_decy"):
        check_config(CONFIG | {"optimizer": optimizer})


def test_a_choice_out_of_its_range() -> None:
    check_choice("mode", "a", ["a", "b"])
    with raises_user_error("c", "a", "b", key="mode"):
        check_choice("mode", "c", ["a", "b"])


def test_the_user_error_is_found_among_the_causes() -> None:
    def build() -> None:
        try:
            raise UserError("this.")
        except UserError as error:
            raise RuntimeError("Failed to instantiate") from error

    with pytest.raises(RuntimeError) as raised:
        build()
    assert str(user_error(raised.value)) == "this."
    assert user_error(RuntimeError("other")) is None


@pytest.mark.parametrize("name", [info.name for info in list_bundles()])
def test_train_evaluate_and_inference_share_their_settings(name: str) -> None:
    """A setting that evaluation needs has the default that training had."""
    configs = find_bundle(name) / "configs"
    names = ("train", "evaluate", "inference")
    train, evaluate, infer = (_resolved(configs / f"{name}.json") for name in names)
    own = {"imports", "preprocessing", "dataset_dir", "output_dir", "network", "initialize", "run_name"}
    for other in (evaluate, infer):
        shared = {key for key in other if key in train} - own
        assert {key: other[key] for key in shared} == {key: train[key] for key in shared}


def _resolved(config: Path) -> dict[str, Any]:
    """Read a config with what it takes from the metadata, which ``inference.json`` may hold itself."""
    parser = ConfigParser()
    parser.read_meta(config.with_name("metadata.json"))
    parser.read_config(config)
    parser.resolve_macro_and_relative_ids()
    return {key: value for key, value in parser.get().items() if key != "_meta_"}


def test_unknown_bundle_is_named_with_the_closest() -> None:
    with raises_user_error("rdau_gann", "'rdau_gan'", key="bundle"):
        find_bundle("rdau_gann")
    assert (find_bundle("rdau_gan") / "configs" / "train.json").is_file()
    assert isinstance(find_bundle("rdau_gan"), Path)


def test_a_device_that_is_not_there() -> None:
    with raises_user_error("gpu", "PyTorch", "cpu", key="device"):
        _check_device("gpu")
    for device in ("cpu", None, "$torch.device('cuda')"):
        _check_device(device)
