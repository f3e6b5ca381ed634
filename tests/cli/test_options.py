"""Options that several commands share, and stopping by Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import pytest
import typer

from bus_monai.cli.options import stoppable, tls_files
from tests.user_errors import raises_user_error


@pytest.mark.parametrize(
    ("how", "sentence"), [((), "run the command again"), (("the same command goes on",), "the same command goes on")]
)
def test_a_stopped_command_says_how_to_go_on(
    how: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    @stoppable(*how)
    def wait(count: Annotated[int, typer.Argument()]) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit) as stop:
        app(["3"])
    assert stop.value.code == 130
    assert capsys.readouterr().out == f"Stopped: {sentence}.\n"


def test_tls_needs_certificate_and_key(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    assert tls_files(None, None) is None
    found = tls_files(certificate, key)
    assert found is not None
    assert (found.certificate, found.key) == (certificate, key)
    for given in ((certificate, None), (None, key), (None, None, certificate)):
        with raises_user_error("--tls-cert", "--tls-key"):
            tls_files(*given)
