"""docker/compose.yaml, as Docker Compose itself reads it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bus_monai import __version__
from tests.conftest import skip
from tests.docker.container import DOCKER

ROOT = DOCKER.parent
OURS = ("label", "mlflow", "serve")
LOGIN = {"ORTHANC_USER": "annotator", "ORTHANC_PASSWORD": "s3cret"}


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not found:
        skip(f"no {name}: pip install 'bus-monai[test]' with Python 3.11 or later")
    return str(found)


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [tool("docker-compose"), "--file", "compose.yaml", "--env-file", os.devnull, "config", "--format", "json"]
    return subprocess.run(command, cwd=DOCKER, env={"PATH": "/usr/bin", **environment}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = config(**LOGIN)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["services"]


def test_every_service_is_healthy_or_not_and_not_root(services: dict[str, Any]) -> None:
    assert sorted(services) == ["label", "mlflow", "orthanc", "serve"]
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["user"] not in ("", "0", "root"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert list(service["networks"]) == ["busmonai"], name
        assert [v["type"] for v in service["volumes"] if not v.get("read_only")] == ["volume"], name


def test_nothing_is_reached_from_another_machine(services: dict[str, Any]) -> None:
    published = {
        name: [(port["host_ip"], int(port["published"])) for port in service.get("ports", [])]
        for name, service in services.items()
    }
    assert published == {
        "label": [("127.0.0.1", 8000)],
        "mlflow": [("127.0.0.1", 5000)],
        "orthanc": [("127.0.0.1", 8042), ("127.0.0.1", 4242)],
        "serve": [],
    }


def test_images_have_versions(services: dict[str, Any]) -> None:
    assert {services[name]["image"] for name in OURS} == {f"busmonai:{__version__}"}
    assert all(services[name]["read_only"] for name in OURS)
    bases = re.findall(r"^FROM (\S+)", "\n".join(path.read_text() for path in DOCKER.glob("Dockerfile*")), re.MULTILINE)
    assert len(bases) == 4
    for image in (*bases, services["orthanc"]["image"]):
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-[a-z-]+)?", image), image


def test_the_login_comes_from_the_environment_alone(services: dict[str, Any]) -> None:
    assert json.loads(services["orthanc"]["environment"]["ORTHANC__REGISTERED_USERS"]) == {"annotator": "s3cret"}
    assert services["label"]["environment"] == LOGIN
    without = config(ORTHANC_USER="annotator")
    assert without.returncode != 0
    assert "required variable ORTHANC_PASSWORD is missing a value: write a password to docker/.env" in without.stderr


def test_the_first_command_of_the_page_writes_a_password(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    shutil.copy(DOCKER / "env.example", tmp_path / "docker")
    command = next(line for line in (DOCKER / "README.md").read_text().splitlines() if "> docker/.env" in line)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    user, password = (tmp_path / "docker" / ".env").read_text().splitlines()[1:]
    assert user == "ORTHANC_USER=annotator"
    assert re.fullmatch("ORTHANC_PASSWORD=[0-9a-f]{48}", password)


def test_the_page_names_our_version() -> None:
    named = re.findall(r"busmonai:(\d+\.\d+\.\d+)", "".join(path.read_text() for path in DOCKER.iterdir()))
    assert set(named) == {__version__}


def test_the_login_is_in_no_commit_and_no_image() -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", "docker/.env"], cwd=ROOT).returncode == 0
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert [line for line in kept if "docker" in line] == ["!docker/*.sh"]
    assert (DOCKER / "env.example").read_text().splitlines()[1:] == ["ORTHANC_USER=annotator", "ORTHANC_PASSWORD="]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_hadolint_finds_nothing(name: str) -> None:
    done = subprocess.run([tool("hadolint"), "--no-color", DOCKER / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_two_images_differ_in_torch_alone() -> None:
    cpu, cuda = ((DOCKER / name).read_text().splitlines()[1:] for name in ("Dockerfile", "Dockerfile.cuda"))
    assert [line.replace("bus_monai cpu", "bus_monai cuda") for line in cpu] == [
        line for line in cuda if "NVIDIA" not in line
    ]
