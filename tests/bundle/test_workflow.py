"""Checks of a config before anything of it is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.workflow import _check_device, check_choice, check_config
from bus_monai.errors import UserError, user_error
from tests.user_errors import raises_user_error

CONFIG = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "resume": False,
    "settings": {"max_epochs": 3, "g_lr": 0.1},
    "net": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 3},
    "optimizer": {"_target_": "torch.optim.Adam", "params": "$@net.parameters()", "lr": "@settings#g_lr"},
    "training": ["$print(@settings#max_epochs, @optimizer, @resume)"],
}


def test_a_right_config_passes() -> None:
    check_config(CONFIG)


def test_a_misspelled_key_is_named_with_the_closest() -> None:
    for wrong, right in (("max_epoch", "max_epochs"), ("resumed", "resume")):
        with raises_user_error(f"'{right}'", key=wrong):
            check_config(CONFIG | {wrong: 4})


def test_a_misspelled_setting_is_named_with_the_closest() -> None:
    with raises_user_error("'settings#g_lr'", key="settings#glr"):
        check_config(CONFIG | {"settings": CONFIG["settings"] | {"glr": 4}})


def test_what_is_inherited_need_not_be_used() -> None:
    inherited = {"ckpt_path": "a.pt", "settings": {"threshold": 0.5}}
    config = inherited | CONFIG | {"settings": CONFIG["settings"] | inherited["settings"]}
    check_config(config, inherited)
    with raises_user_error(key="ckpt_path"):
        check_config(config, {"settings": inherited["settings"]})
    with raises_user_error(key="settings#threshold"):
        check_config(config, {"ckpt_path": "a.pt"})


def test_a_misspelled_argument_is_named_with_its_path() -> None:
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
