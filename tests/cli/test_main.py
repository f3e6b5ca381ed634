"""The command line: light, helpful, one sentence for what a user can mend."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.cli import main as cli
from bus_monai.cli.train import parse_overrides
from bus_monai.errors import UserError
from bus_monai.registry import list_bundles

BUNDLES = ", ".join(info.name for info in list_bundles())


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
    cli.main()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bus_monai.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'monai', 'mlflow', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip().endswith("[]")
    assert all(name in output for name in ("train", "bundles", "report"))


def test_bundles_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("bundles", monkeypatch=monkeypatch)
    assert "rdau_gan" in capsys.readouterr().out


def test_help_of_a_bundle_lists_its_settings_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("train", "rdau_gan", "--help", monkeypatch=monkeypatch)
    text = capsys.readouterr().out
    assert '--gan_mode          "wgan"' in text
    assert "--network_def" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["train", "rdau"],
            "There is no bundle 'rdau' (did you mean 'rdau_gan'?): choose one of "
            + ", ".join(info.name for info in list_bundles())
            + ".",
        ),
        (["train", "rdau_gan", "max_epochs", "3"], "'max_epochs' is no option: write --KEY VALUE."),
        (["train", "rdau_gan", "--max_epochs"], "The option --max_epochs has no value: write --max_epochs VALUE."),
        (
            ["report", "/nowhere"],
            "'/nowhere/history.csv' does not exist: train with --output_dir /nowhere first.",
        ),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip() == f"bus-monai: {sentence}"


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
    with pytest.raises(UserError, match=r"^'--' is no option"):
        parse_overrides(["--", "3"])
