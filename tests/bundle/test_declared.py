"""What is checked as plain data is data to MONAI's parser too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle.config_parser import ConfigParser

from bus_monai.bundle.declared import check_plain, check_settings, declared_settings
from bus_monai.errors import UserError
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
