"""What ``bus-monai train`` takes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.cli.train import parse_overrides
from tests.cli.test_main import run
from tests.user_errors import raises_user_error


def test_help_of_a_bundle_lists_its_settings_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("train", "rdau_gan", "--help", monkeypatch=monkeypatch)
    text = capsys.readouterr().out
    assert re.search(r"--gan_mode wgan\n +wgan, wgan-gp, bce, none", text)
    assert "--network_def" not in text


def test_overrides_are_json_or_text() -> None:
    words = [
        "--max_epochs",
        "3",
        "--gan_mode=wgan-gp",
        "--use_gate",
        "false",
        "--image_size",
        "[64, 64]",
        "--x",
        "null",
    ]
    expected = {"max_epochs": 3, "gan_mode": "wgan-gp", "use_gate": False, "image_size": [64, 64], "x": None}
    assert parse_overrides(words) == expected


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z_]{1,8}\Z"), st.none() | st.booleans() | st.integers() | st.lists(st.integers())
    )
)
def test_any_json_value_goes_through(values: dict) -> None:
    words = [word for key, value in values.items() for word in (f"--{key}", json.dumps(value))]
    assert parse_overrides(words) == values


def test_an_option_that_is_none_is_refused() -> None:
    with raises_user_error("'--'"):
        parse_overrides(["--", "3"])
