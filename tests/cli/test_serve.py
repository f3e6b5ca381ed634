"""The words of ``bus-monai serve`` and ``segment --dicomweb``; what they do is tested in ``tests/pacs``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus_monai import errors
from bus_monai.cli import main as cli

SERVE = ["serve", "--allow", "SCANNER", "--send-to", "PACS@127.0.0.1:104"]
ONE_SOURCE = "There is no one source: give INPUT, or --dicomweb URL with --study UID."


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*SERVE, "--tls-cert", "x.pem"], "TLS needs --tls-cert and --tls-key: give both, or neither and no --tls-ca."),
        ([*SERVE, "--tls-ca", "x.pem"], "TLS needs --tls-cert and --tls-key: give both, or neither and no --tls-ca."),
        (
            [*SERVE[:3], "--send-to", "PACS"],
            "--send-to is 'PACS': write AET@HOST:PORT, such as ORTHANC@pacs.local:4242.",
        ),
        (
            [*SERVE, "--aet", "A TITLE MUCH TOO LONG"],
            "--aet names the AE title 'A TITLE MUCH TOO LONG': use 1 to 16 characters of ASCII without backslash.",
        ),
        (["segment"], ONE_SOURCE),
        (["segment", "x.png", "--dicomweb", "https://pacs/x", "--study", "1.2"], ONE_SOURCE),
        (["segment", "--dicomweb", "https://pacs/x"], ONE_SOURCE),
        (["segment", "x.png", "--series", "1.2"], ONE_SOURCE),
    ],
)
def test_wrong_words_are_one_sentence(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", *words])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err == f"bus-monai: {sentence}\n"


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
    assert capsys.readouterr().err == (
        "bus-monai: The package 'pynetdicom' is not installed: run \"pip install 'bus-monai[pacs]'\".\n"
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['bus-monai', 'serve', '--help']\n"
        "from bus_monai.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'monai', 'numpy', 'pydicom', 'pynetdicom', 'ssl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert "bus-monai serve --aet BUSMONAI --host 0.0.0.0 --allow SCANNER1" in done.stdout
