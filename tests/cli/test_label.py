"""What ``bus-monai label`` hands to the server, and what it refuses before that."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

from bus_monai.cli.label import label
from tests.user_errors import raises_user_error


def test_options_go_to_the_server_in_the_place_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def begin(program: Path, words: list[str]) -> NoReturn:
        started.append(words)
        raise SystemExit(0)

    monkeypatch.setenv("PYTHONSAFEPATH", "")  # which it sets
    monkeypatch.setattr("bus_monai.label.environment.label_environment", lambda: Path("its/python"))
    monkeypatch.setattr(os, "execv", begin)
    with pytest.raises(SystemExit):
        label(str(tmp_path), bundles="lite_unet", port=8001, no_token=True)
    models = json.dumps(["lite_unet"])
    assert started == [
        ["its/python", "-m", "bus_monai.label.serve", "--studies", str(tmp_path), "--models", models,
         "--port", "8001", "--host", "127.0.0.1", "--no-token"]
    ]  # fmt: skip
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_what_is_wrong_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with raises_user_error("--tls-cert", "--tls-key"):
        label(str(tmp_path), tls_cert=tmp_path / "c.pem")
    with raises_user_error(path=tmp_path / "gone"):
        label(str(tmp_path / "gone"))
