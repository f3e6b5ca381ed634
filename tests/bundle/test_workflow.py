"""Checks of a config before anything of it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.bundle.config_parser import ConfigParser

from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.bundle.workflow import _check_device, check_choice, check_config
from bus_monai.errors import UserError, user_error

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
    with pytest.raises(UserError) as error:
        check_config(CONFIG | {"max_epoch": 4})
    assert str(error.value) == (
        "The config key 'max_epoch' does nothing (did you mean 'max_epochs'?): correct or remove it."
    )


def test_a_misspelt_argument_is_named_with_its_path() -> None:
    optimizer = CONFIG["optimizer"] | {"weight_decy": 0.1}
    with pytest.raises(UserError) as error:
        check_config(CONFIG | {"optimizer": optimizer})
    assert str(error.value) == (
        "The config key 'optimizer#weight_decy' is no argument of torch.optim.Adam (did you mean 'weight_decay'?): "
        "correct or remove it."
    )


def test_a_choice_out_of_its_range() -> None:
    check_choice("mode", "a", ["a", "b"])
    with pytest.raises(UserError, match=r"^mode is 'c': use one of a, b.$"):
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
    with pytest.raises(
        UserError, match=r"^There is no bundle 'rdau_gann' \(did you mean 'rdau_gan'\?\): choose one of"
    ):
        find_bundle("rdau_gann")
    assert (find_bundle("rdau_gan") / "configs" / "train.json").is_file()
    assert isinstance(find_bundle("rdau_gan"), Path)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UserError) as raised:
        _check_device("gpu")
    assert str(raised.value).startswith("The config key 'device' is 'gpu', which PyTorch does not have here (")
    assert str(raised.value).endswith("): give cpu, or leave it out.")
    for device in ("cpu", None, "$torch.device('cuda')"):
        _check_device(device)
