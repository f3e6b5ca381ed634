"""Settings as the command line writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import list_bundles
from bus_monai.bundle.settings import extended, parse_setting, parse_value, read_settings, write_settings
from tests.user_errors import raises_user_error

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_json_is_read_back(value: Any) -> None:
    assert parse_value(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["wgan", "", "runs/a/model.pt", "True", "[1, 2", "1e-3.5"])
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert parse_value(text) == text


def test_the_first_equals_sign_ends_the_key() -> None:
    assert parse_setting("lr=1e-3") == ("lr", 0.001)
    assert parse_setting("image_size=[32,32]") == ("image_size", [32, 32])
    assert parse_setting("name=a=b") == ("name", "a=b")
    assert parse_setting("ckpt_path=") == ("ckpt_path", "")


@pytest.mark.parametrize("text", ["lr", "=1", ""])
def test_what_sets_nothing_is_named(text: str) -> None:
    with raises_user_error(repr(text), "KEY=VALUE", key="--set"):
        parse_setting(text)


OLD: list[tuple[str, dict[str, Any]]] = [
    (
        "lite_unet",
        {
            "protocol": "kfold5:0",
            "amp": True,
            "seed": 0,
            "image_size": [256, 256],
            "crop_region": True,
            "encoder_weights": "imagenet",
            "lr": 0.001,
            "max_grad_norm": None,
            "val_interval": 2,
            "experiment_name": "lite_unet",
        },
    ),
    ("mammo_cgan", {"frame": "full", "loose_scale": 2, "cut": 0.5, "lambda_adv": 1.0}),
    ("assgan", {"labeled_fraction": 0.05, "hard_scores": False, "num_generators": 1, "encoder_weights": None}),
    ("multi_encoder_unet", {"encoders": ["resnet18"], "attention": None, "patience": None}),
]
"""Of weights of version 0.2.0 and before, whose interval of validation was a setting."""


@pytest.mark.parametrize(("bundle", "settings"), OLD)
def test_settings_of_weights_trained_before_are_read(bundle: str, settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "model.pt").touch()
    (model,) = parse_models([f"{bundle}:{tmp_path / 'model.pt'}"])
    assert list(model.settings.values()) == list(settings.values())


def test_settings_of_weights_trained_before_have_their_names_of_today(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"frame": "full", "loose_scale": 2.0}))
    assert read_settings(tmp_path / "model.pt") == {"box": "full", "loose_scale": 2.0}


def test_a_config_that_extends_another_names_what_differs(tmp_path: Path) -> None:
    loader = {"_target_": "DataLoader", "dataset": {"_target_": "Dataset", "data": "@items"}, "batch_size": 8}
    base = {"settings": {"lr": 0.1, "options": {"depth": 5}}, "loader": loader, "network": {"_target_": "UNet", "n": 1}}
    (tmp_path / "train.json").write_text(json.dumps(base))
    own = {
        "extends": "train.json",
        "settings": {"options": {}},
        "loader": {"dataset": {"data": "@other"}, "batch_size": 1},
        "network": {"_target_": "LiteUNet"},
    }
    assert extended(own, tmp_path) == {
        "settings": {"lr": 0.1, "options": {}},
        "loader": {"_target_": "DataLoader", "dataset": {"_target_": "Dataset", "data": "@other"}, "batch_size": 1},
        "network": {"_target_": "LiteUNet"},
    }


@pytest.mark.parametrize(("key", "other"), [("protocol", "kfold5:2"), ("seed", 3)])
def test_a_training_that_goes_on_keeps_its_split(key: str, other: object, tmp_path: Path) -> None:
    known = {"protocol": "rdau", "seed": 0, "experiment_name": "x", "save_interval": 1, "lr": 0.1, "max_epochs": 2}
    write_settings(tmp_path, known, resume=True)
    for enabled in (True, False):
        with raises_user_error(known[key], other, path=tmp_path / "settings.json", key=key):
            write_settings(tmp_path, known | {key: other}, resume=True, enabled=enabled)
    assert read_settings(tmp_path / "model.pt") == known
    write_settings(tmp_path, known | {"lr": 0.2, "max_epochs": 9}, resume=True)
    assert read_settings(tmp_path / "model.pt") == known | {"lr": 0.2, "max_epochs": 9}
    write_settings(tmp_path, known | {key: other})
    assert read_settings(tmp_path / "model.pt")[key] == other


def test_every_training_says_whether_it_goes_on() -> None:
    for info in list_bundles():
        steps = json.loads((info.root / "configs" / "train.json").read_text())["initialize"]
        writing = [step for step in steps if isinstance(step, dict) and step["_target_"].endswith("write_settings")]
        assert [step["resume"] for step in writing] == ["@resume"], info.name
