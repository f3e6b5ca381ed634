"""What a search varies, as the command line says it."""

from __future__ import annotations

import json

import pytest

from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.bundle.settings import read_config
from bus_monai.experiments.search import Choice, parse_space, read_preset
from tests.user_errors import raises_user_error


def test_choices_and_ranges() -> None:
    assert parse_space(["use_gate=true,false", "gan_mode=none,wgan", "n_critic=1,5", "x=[1]"]) == [
        Choice("use_gate", (True, False)),
        Choice("gan_mode", ("none", "wgan")),
        Choice("n_critic", (1, 5)),
        Choice("x", ([1],)),
    ]
    assert parse_space(["lr=1e-5..1e-3:log", "w=0.5..2"]) == [
        Choice("lr", low=1e-5, high=1e-3, log=True),
        Choice("w", low=0.5, high=2.0),
    ]


def test_presets_vary_keys_of_their_bundle() -> None:
    for info in list_bundles():
        file = info.root / "configs" / "sweeps.json"
        keys = read_config(info.root / "configs" / "train.json")["settings"]
        for name in json.loads(file.read_text()) if file.is_file() else ():
            assert all(choice.key in keys for choice in parse_space(read_preset(info.root, name)))
    with raises_user_error("rdau_gan", "'x'", "architecture", "adversary", key="--preset"):
        read_preset(find_bundle("rdau_gan"), "x")


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["lr"], ["'lr'", "KEY=A,B,C", "KEY=LOW..HIGH", "KEY=LOW..HIGH:log"]),
        (["lr=a..b"], ["'lr=a..b'", "KEY=LOW..HIGH"]),
        (["lr=2..1"], ["'lr=2..1'", "LOW", "HIGH"]),
        (["lr=0..1:log"], ["'lr=0..1:log'", "LOW", "HIGH", "':log'"]),
        (["lr=1,2", "lr=3"], ["'lr'"]),
    ],
)
def test_what_cannot_be_read_is_named(texts: list[str], named: list[str]) -> None:
    with raises_user_error(*named, key="--vary"):
        parse_space(texts)
