"""The words of ``bus-monai serve`` and ``segment --dicomweb``; what they do is tested in ``tests/pacs``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus_monai import errors
from bus_monai.cli import main as cli
from tests.user_errors import check_said

SERVE = ["serve", "--allow", "SCANNER", "--send-to", "PACS@127.0.0.1:104"]
ONE_SOURCE = ["INPUT", "--dicomweb URL", "--study UID"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([*SERVE, "--tls-cert", "x.pem"], ["--tls-cert", "--tls-key"]),
        ([*SERVE, "--tls-ca", "x.pem"], ["--tls-cert", "--tls-key"]),
        (["label", "--studies", ".", "--tls-key", "x.pem"], ["--tls-cert", "--tls-key"]),
        ([*SERVE[:3], "--send-to", "PACS"], ["--send-to", "'PACS'", "AET@HOST:PORT"]),
        ([*SERVE, "--aet", "A TITLE MUCH TOO LONG"], ["--aet", "'A TITLE MUCH TOO LONG'", 16]),
        (["serve", "--config", "none.toml"], ["none.toml"]),
        (["segment"], ONE_SOURCE),
        (["segment", "x.png", "--dicomweb", "https://pacs/x", "--study", "1.2"], ONE_SOURCE),
        (["segment", "--dicomweb", "https://pacs/x"], ONE_SOURCE),
        (["segment", "x.png", "--series", "1.2"], ONE_SOURCE),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], named: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *words])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    check_said(line, *named)


def test_check_says_that_all_is_right_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node.toml").write_text(
        'allow = ["A", "B"]\nsend-to = "PACS@127.0.0.1:104"\nport = 11999\n[[rules]]\ndo = "segment"\n'
    )
    monkeypatch.setattr(sys, "argv", ["bus-monai", "serve", "--config", "node.toml", "--check", "--aet", "X"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    said = capsys.readouterr().out
    assert [word for word in ("X@127.0.0.1:11999", "PACS@127.0.0.1:104", "1 rules") if word not in said] == []
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


@pytest.mark.parametrize("option", ["--allow", "--send-to"])
def test_nobody_is_allowed_unasked(option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at = SERVE.index(option)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bus-monai", *SERVE[:at], *SERVE[at + 2 :]])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert not list(tmp_path.iterdir())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["bus-monai", *SERVE])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    check_said(capsys.readouterr().err, "'bus-monai[pacs]'", key="pynetdicom")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['bus-monai', 'serve', '--help']\n"
        "from bus_monai.cli.main import main\n"
        "heavy = {'torch', 'monai', 'numpy', 'pydicom', 'pynetdicom', 'ssl', 'prometheus_client'}\n"
        "try: main()\n"
        "except SystemExit: print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert "bus-monai serve --aet BUSMONAI --host 0.0.0.0 --allow SCANNER1" in done.stdout
