"""The command line: light, helpful, one sentence for what a user can fix."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bus_monai.bundle.registry import list_bundles
from bus_monai.cli import main as cli
from tests.user_errors import check_said

BUNDLES = ", ".join(info.name for info in list_bundles())


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
    cli.main()


def test_help_and_info_import_little() -> None:
    """What one waits for is imports: 300 modules at 3.11, Python brings 30 of them, PyTorch would bring 1,100 more."""
    code = (
        "import sys; from bus_monai.cli.main import app\n"
        "for word in ('--help', 'info'):\n"
        "    try: app([word])\n"
        "    except SystemExit: pass\n"
        "print([m for m in ('torch', 'monai', 'mlflow', 'numpy', 'matplotlib') if m in sys.modules])\n"
        "print(len(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, count = output.splitlines()[-2:]
    assert heavy == "[]"
    assert int(count) < 400
    assert all(name in output for name in ("train", "info", "report", "rdau_gan"))


@pytest.mark.parametrize(("command", "option"), [("segment", "--restart"), ("export", "--calibration")])
def test_help_of_the_fast_commands_imports_nothing_heavy(command: str, option: str) -> None:
    code = (
        f"import sys; sys.argv = ['bus-monai', '{command}', '--help']\n"
        "from bus_monai.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'monai', 'numpy', 'pydicom', 'openvino', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert option in done.stdout


def test_bundles_say_whether_they_have_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, file in (("with_none", None), ("shipped", "model.safetensors"), ("trained", "model.pt")):
        (tmp_path / name / "configs").mkdir(parents=True)
        (tmp_path / name / "configs" / "metadata.json").write_text('{"version": "1.0.0", "description": "It is."}')
        (tmp_path / name / "models").mkdir()
        (tmp_path / name / "models" / (file or "checkpoint.pt")).write_bytes(b"")
    (tmp_path / "trained" / "models" / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr("bus_monai.bundle.registry.BUNDLE_FOLDERS", (tmp_path,))
    with pytest.raises(SystemExit, match="0"):
        run("info", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert lines[:4] == [
        "shipped  1.0.0", "    It is.", f"    {tmp_path / 'shipped'}", "    weights: model.safetensors",
    ]  # fmt: skip
    assert (lines[7], lines[11]) == ("    weights: model.pt", "    no weights: train it, or give your own")


def test_info_tells_versions_and_bundles(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bus_monai.cli.main.BACKEND_PACKAGES", ("torch", "nothing_of_that_name"))
    with pytest.raises(SystemExit, match="0"):
        run("info", monkeypatch=monkeypatch)
    output = capsys.readouterr().out
    assert output.startswith(f"bus-monai {version('bus-monai')}, Python {sys.version.split()[0]}\n")
    assert f"runs networks with torch {version('torch')}, nothing_of_that_name (not installed)\n" in output
    assert "rdau_gan" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "rdau"], ["'rdau'", "'rdau_gan'", *(info.name for info in list_bundles())]),
        (["train", "rdau_gan", "max_epochs", "3"], ["'max_epochs'", "--KEY VALUE"]),
        (["train", "rdau_gan", "--max_epochs"], ["--max_epochs", "--max_epochs VALUE"]),
        (["report", "/nowhere"], ["'/nowhere/cases.csv'", "evaluate"]),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    arguments: list[str], named: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    check_said(line, *named)
