"""What is checked as plain data is data to MONAI's parser too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle.config_parser import ConfigParser

from bus_monai.bundle import declared
from bus_monai.bundle.declared import check_plain, check_settings, declared_settings, described_settings
from bus_monai.bundle.registry import find_bundle, list_bundles
from bus_monai.bundle.settings import read_config
from bus_monai.data.protocols import PROTOCOLS
from bus_monai.errors import UserError
from bus_monai.losses.adversarial import GAN_MODES
from bus_monai.networks.encoders.resnet import STAGE_WIDTHS
from bus_monai.networks.segmenters import SEGMENTER_NAMES
from bus_monai.trainers.schedule import SCHEDULES
from bus_monai.transforms.contrast import EQUALIZATION_METHODS
from bus_monai.transforms.crop import CROP_KINDS
from bus_monai.transforms.speckle import SPECKLE_METHODS
from tests.user_errors import raises_user_error

ANY_TEXT = st.text(st.sampled_from("$@%_ \n'atrge1"), max_size=8) | st.text(max_size=8) | st.just("_target_")
TEXT = ANY_TEXT.filter(lambda text: "#" not in text and "::" not in text)
"""The parser writes the one as the other, wherever they stand."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_what_is_plain_comes_out_of_the_parser_as_it_went_in(value: Any) -> None:
    try:
        check_plain({"a": value}, "It")
    except UserError:
        return
    assert ConfigParser({"a": value}).get_parsed_content("a") == value


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of somebody's, with settings alone."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text(
        '{"settings": {"size": [32, 32], "rate": 0.1, "count": 3, "word": "a", "on": true, "free": null, '
        '"same": "@settings#on", "made": "$1 + 1"}, "settings_schema": {"made": {"type": "integer", "maximum": 5}}}'
    )
    return tmp_path


def test_a_default_declares_a_type(bundle: Path) -> None:
    number = {"type": "integer"}
    assert declared_settings(bundle) == {
        "size": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        "rate": {"type": "number"},
        "count": number,
        "word": {"type": "string"},
        "on": {"type": "boolean"},
        "free": {},
        "same": {"type": "boolean"},
        "made": {"type": "integer", "maximum": 5},
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"size": [1, 2], "rate": 1, "count": 0, "word": "", "on": False, "same": True, "made": 5},
        {"free": None},
        {"free": [1, "a"]},
        {"free": {"a": 1.5}},
    ],
)
def test_what_is_declared_fits(bundle: Path, settings: dict[str, Any]) -> None:
    check_settings(settings, bundle, "It")


@pytest.mark.parametrize(
    "settings",
    [
        {"size": [1]},
        {"size": [1.5, 2]},
        {"rate": -1},
        {"rate": None},
        {"count": 1.0},
        {"word": 1},
        {"on": 1},
        {"same": "a"},
        {"made": 6},
        {"free": {"a": -1}},
        {"free": float("inf")},
        {"more": 1},
    ],
)
def test_what_is_not_declared_is_refused(bundle: Path, settings: dict[str, Any]) -> None:
    with raises_user_error(key=next(iter(settings))):
        check_settings(settings, bundle, "It")


@pytest.mark.parametrize("name", [info.name for info in list_bundles()])
def test_every_key_says_what_it_means(name: str) -> None:
    described = described_settings(find_bundle(name))
    assert [key for key, (_, meaning) in described.items() if not meaning] == []
    assert described["max_epochs"][0] == declared_default(name)


def declared_default(name: str) -> int:
    return read_config(find_bundle(name) / "configs" / "train.json")["settings"]["max_epochs"]


def test_a_meaning_is_no_word_of_a_key_that_is_gone() -> None:
    known = {key for info in list_bundles() for key in described_settings(info.root)}
    file = Path(declared.__file__).with_name("keys.json")
    assert json.loads(file.read_text(encoding="utf-8")).keys() - known == set()


def test_the_choices_of_a_key_are_those_of_the_code() -> None:
    """Each name that the code takes is told."""
    choices = {
        "gan_mode": GAN_MODES[:-1],
        "schedule": SCHEDULES,
        "speckle": tuple(SPECKLE_METHODS),
        "equalization": EQUALIZATION_METHODS,
        "box": CROP_KINDS,
        "protocol": tuple(PROTOCOLS),
        "backbone": tuple(STAGE_WIDTHS),
    }
    meanings = json.loads(Path(declared.__file__).with_name("keys.json").read_text(encoding="utf-8"))
    for key, names in choices.items():
        assert [name for name in names if name not in meanings[key]] == [], key
    assert set(described_settings(find_bundle("baseline"))["network_name"][1].split(", ")) == set(SEGMENTER_NAMES)
