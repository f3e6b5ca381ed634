"""What a search varies, as the command line says it."""

from __future__ import annotations

import json

import pytest

from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.errors import UserError
from bus_monai.experiments.search import Choice, parse_space, read_preset


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
        keys = json.loads((info.root / "configs" / "train.json").read_text())
        for name in json.loads(file.read_text()) if file.is_file() else ():
            assert all(choice.key in keys for choice in parse_space(read_preset(info.root, name)))
    with pytest.raises(UserError) as error:
        read_preset(find_bundle("rdau_gan"), "x")
    assert str(error.value) == "The bundle rdau_gan has no preset 'x': use one of architecture, adversary."


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr"], "--vary 'lr' varies nothing: write KEY=A,B,C or KEY=LOW..HIGH or KEY=LOW..HIGH:log."),
        (["lr=a..b"], "--vary 'lr=a..b' has a range that is not of numbers: write KEY=LOW..HIGH."),
        (["lr=2..1"], "--vary 'lr=2..1' has no range: LOW must be below HIGH, and above 0 with ':log'."),
        (["lr=0..1:log"], "--vary 'lr=0..1:log' has no range: LOW must be below HIGH, and above 0 with ':log'."),
        (["lr=1,2", "lr=3"], "--vary names 'lr' twice: give all its values at once."),
    ],
)
def test_what_cannot_be_read_is_one_sentence(texts: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_space(texts)
    assert str(error.value) == message
