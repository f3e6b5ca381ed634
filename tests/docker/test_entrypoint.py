"""docker/entrypoint.sh with a command that tells how it was called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from requests.utils import get_netrc_auth

from tests.docker.container import DOCKER

TELL = """#!/bin/sh
echo "$@"
echo "$HOME"
echo "${ORTHANC_PASSWORD-}"
echo "$MLFLOW_DISABLE_TELEMETRY"
cp "${NETRC:-/dev/null}" netrc
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    folder = tmp_path / "venv"
    (folder / "label" / "monailabel-0123").mkdir(parents=True)
    for name in ("bin", "docker"):
        (folder / name).mkdir()
    shutil.copy(DOCKER / "entrypoint.sh", folder / "docker")
    (folder / "bin" / "bus-monai").write_text(TELL)
    (folder / "bin" / "bus-monai").chmod(0o755)
    return folder


def call(venv: Path, *words: str, **environment: str) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(venv.parent), **environment}
    command = [str(venv / "docker" / "entrypoint.sh"), *words]
    return subprocess.run(command, env=environment, cwd=venv, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )


def test_words_go_to_the_command_as_they_are(venv: Path) -> None:
    assert call(venv, "segment", "a b", "--out", "*")[:2] == ["segment a b --out *", str(venv.parent)]
    assert (venv / "netrc").read_text() == ""


def test_mlflow_reports_to_nobody(venv: Path) -> None:
    assert call(venv, "train", "rdau_gan")[3] == "true"


def test_a_home_of_somebody_else_is_replaced(venv: Path) -> None:
    home = Path(call(venv, "--version", HOME="/nowhere")[1])
    assert home.is_dir()
    assert home != Path("/nowhere")
    home.rmdir()


def test_label_logs_in_to_orthanc(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = call(venv, "label", "--port", "8000", ORTHANC_USER="annotator", ORTHANC_PASSWORD="s3cret", TMPDIR=str(venv))
    assert told[::2][:2] == ["label --port 8000", ""]
    monkeypatch.setenv("NETRC", str(venv / "netrc"))
    assert get_netrc_auth("http://orthanc:8042/dicom-web") == ("annotator", "s3cret")
    assert get_netrc_auth("http://elsewhere:8042/dicom-web") is None
    (written,) = venv.glob("tmp.*")
    assert written.stat().st_mode & 0o777 == 0o600


def test_label_finds_the_environment_of_the_image(venv: Path) -> None:
    cache = venv.parent / ".cache" / "bus_monai"
    for _ in range(2):
        call(venv, "label")
        assert (cache / "monailabel-0123").resolve() == venv / "label" / "monailabel-0123"
        assert len(list(cache.iterdir())) == 1
