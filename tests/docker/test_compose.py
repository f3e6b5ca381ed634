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
TRACKING = {"MLFLOW_TRACKING_USERNAME": "researcher", "MLFLOW_TRACKING_PASSWORD": "t0psecret"}


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
    done = config(**LOGIN, **TRACKING)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["services"]


@pytest.fixture
def servers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name != "certificates"}


def test_every_service_is_healthy_or_not_and_not_root(services: dict[str, Any], servers: dict[str, Any]) -> None:
    assert sorted(servers) == ["label", "mlflow", "orthanc", "serve"]
    for name, service in servers.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
    for name, service in services.items():
        assert service["user"] not in ("", "0", "root"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert list(service["networks"]) == ["busmonai"], name
        assert [v["type"] for v in service["volumes"] if not v.get("read_only")] == ["volume"], name


def test_no_service_takes_the_machine(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert 0 < int(service["mem_limit"]) <= 8 << 30, name
        assert 0 < service["pids_limit"] <= 1000, name
        assert service["logging"]["options"] == {"max-file": "10", "max-size": "10m"}, name
    # not bound to a number of cores, which a small machine would refuse: the node goes first where all want them
    shares = {name: service.get("cpu_shares", 1024) for name, service in services.items()}
    assert shares["serve"] == shares["orthanc"] > max(shares["label"], shares["mlflow"])


def test_each_server_waits_for_its_own_certificate_and_sees_no_other(
    services: dict[str, Any], servers: dict[str, Any]
) -> None:
    made = services["certificates"]
    assert sorted(made["command"]) == sorted(servers)
    assert (made["restart"], made.get("depends_on", {})) == ("no", {})
    for name, service in servers.items():
        assert service["depends_on"]["certificates"]["condition"] == "service_completed_successfully", name
        (mount,) = [volume for volume in service["volumes"] if volume["source"] == "certificates"]
        assert (mount["volume"]["subpath"], mount["read_only"], mount["target"]) == (name, True, "/certificates")
    # keys are readable for the group of who made them
    assert services["orthanc"]["group_add"] == [made["user"]]


def test_nothing_is_sent_in_the_clear(services: dict[str, Any]) -> None:
    settings = json.loads((DOCKER / "orthanc.json").read_text())
    encrypts = ("DicomTlsEnabled", "DicomTlsRemoteCertificateRequired", "SslEnabled")
    assert [settings[key] for key in encrypts] == [True] * 3
    assert settings["DicomAlwaysAllowStore"] is False
    assert {peer["UseDicomTls"] for peer in settings["DicomModalities"].values()} == {True}
    words = {name: " ".join(services[name]["command"]) for name in OURS}
    given = "--tls-cert /certificates/node.pem --tls-key /certificates/node.key"
    assert words["label"].endswith(given)
    assert words["serve"].endswith(f"{given} --tls-ca /certificates/ca.pem")
    assert "--ssl-certfile /certificates/node.pem --ssl-keyfile /certificates/node.key" in words["mlflow"]
    assert "http://" not in "".join(words.values())


def test_nothing_is_reached_from_another_machine(services: dict[str, Any]) -> None:
    published = {
        name: [(port["host_ip"], int(port["published"])) for port in service.get("ports", [])]
        for name, service in services.items()
    }
    assert published == {
        "label": [("127.0.0.1", 8000)],
        "mlflow": [("127.0.0.1", 5000)],
        "certificates": [],
        "orthanc": [("127.0.0.1", 8042), ("127.0.0.1", 4242)],
        "serve": [],
    }


def test_images_have_versions(services: dict[str, Any]) -> None:
    # what MONAI Label needs is in its own image alone
    images = {
        name: (service["image"], service["build"]["target"]) for name, service in services.items() if name in OURS
    }
    ours = (f"busmonai:{__version__}", "busmonai")
    assert images == {"label": (f"busmonai-label:{__version__}", "label"), "mlflow": ours, "serve": ours}
    assert all(services[name]["read_only"] for name in OURS)
    bases = set(re.findall(r"^FROM (\S+:\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    assert len(bases) == 1
    for image in (*bases, services["orthanc"]["image"]):
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-[a-z-]+)?", image), image


def test_the_image_says_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', (DOCKER / "Dockerfile").read_text()))
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert "not for clinical use" in labels["description"]
    assert f"FROM {labels['base.name'].removeprefix('docker.io/library/')} AS busmonai" in (
        (DOCKER / "Dockerfile").read_text()
    )


def test_the_login_comes_from_the_environment_alone(services: dict[str, Any]) -> None:
    assert json.loads(services["orthanc"]["environment"]["ORTHANC__REGISTERED_USERS"]) == {"annotator": "s3cret"}
    assert services["label"]["environment"].items() >= LOGIN.items()
    admin = {key.replace("TRACKING", "AUTH_ADMIN"): value for key, value in TRACKING.items()}
    assert services["mlflow"]["environment"].items() >= admin.items()
    assert "--app-name basic-auth" in " ".join(services["mlflow"]["command"])
    for password in ("ORTHANC_PASSWORD", "MLFLOW_TRACKING_PASSWORD"):
        without = config(**{key: value for key, value in (LOGIN | TRACKING).items() if key != password})
        assert without.returncode != 0
        assert f"required variable {password} is missing a value: write a password to docker/.env" in without.stderr


def test_the_first_command_of_the_page_writes_a_password(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    shutil.copy(DOCKER / "env.example", tmp_path / "docker")
    command = next(line for line in (DOCKER / "README.md").read_text().splitlines() if "> docker/.env" in line)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    written = dict(line.split("=") for line in (tmp_path / "docker" / ".env").read_text().splitlines()[1:])
    assert list(written) == [*LOGIN, *TRACKING]
    assert (written["ORTHANC_USER"], written["MLFLOW_TRACKING_USERNAME"]) == ("annotator", "researcher")
    passwords = {written["ORTHANC_PASSWORD"], written["MLFLOW_TRACKING_PASSWORD"]}
    assert [len(password) for password in passwords] == [48, 48]


def test_the_page_names_our_version() -> None:
    named = re.findall(r"busmonai(?:-label)?:(\d+\.\d+\.\d+)", "".join(path.read_text() for path in DOCKER.iterdir()))
    assert set(named) == {__version__}


def test_the_login_is_in_no_commit_and_no_image() -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", "docker/.env"], cwd=ROOT).returncode == 0
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert [line for line in kept if "docker" in line] == ["!docker/*.sh"]
    assert re.findall("PASSWORD=.*", (DOCKER / "env.example").read_text()) == ["PASSWORD=", "PASSWORD="]


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([tool("hadolint"), "--no-color", DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
