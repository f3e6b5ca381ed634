"""What the images hold, installed and run in a clean folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from bus_monai import __version__
from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.phantoms.ultrasound import make_phantom
from tests.docker.container import CERTIFICATES, DOCKER, Container
from tests.pacs.orthanc_server import OrthancServer
from tests.pacs.serving import store
from tests.waiting import PATIENCE_S, wait_until

sys.path.append(str(Path(__file__).parents[1] / "pacs"))


def run(venv: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [str(venv / "docker" / "entrypoint.sh"), *words]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=PATIENCE_S)


def test_the_installation_is_whole(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--version")
    assert done.stdout.split()[-1] == __version__, done.stderr
    (package,) = installed.glob("lib/python*/site-packages/bus_monai")
    assert (package / "_bundles" / "lite_unet" / "models" / "model.safetensors").is_file()
    stubs = {path.parent.relative_to(package) for path in package.rglob("__init__.pyi")}
    assert stubs >= {Path(), Path("networks"), Path("inference", "backends")}
    assert not (installed / "wheel").exists()


def test_a_phantom_is_segmented(installed: Path, tmp_path: Path) -> None:
    Image.fromarray(make_phantom(0, (128, 128)).image).save(tmp_path / "phantom.png")
    done = run(installed, tmp_path, "segment", "phantom.png", "--out", "segmented")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "segmented" / "phantom_mask.png").size == (128, 128)


def test_orthanc_sends_to_the_node_and_gets_the_results(
    installed: Path,
    certificates: Path,
    tmp_path: Path,
    orthanc_files: tuple[str, Path],
) -> None:
    """With the configuration and the script that docker/compose.yaml mounts, and its certificates."""
    text = (DOCKER / "orthanc.json").read_text()
    settings = json.loads(text.replace(CERTIFICATES, str(certificates / "orthanc")))
    (peer,) = settings["DicomModalities"].values()
    settings["LuaScripts"] = [str(DOCKER / "orthanc.lua")]
    orthanc = OrthancServer(tmp_path / "orthanc", *orthanc_files)
    there = {"orthanc:4242": f"localhost:{orthanc.dicom_port}", CERTIFICATES: str(certificates / "serve")}
    node = Container("serve", installed, tmp_path / "home", **there)
    assert not node.is_healthy()
    assert [peer["AET"], peer["Host"], str(peer["Port"])] == ["BUSMONAI", "serve", "11112"]
    peer |= {"Host": "127.0.0.1", "Port": node.port}
    del settings["DicomPort"]
    settings["SslEnabled"] = (
        False  # Debian's Orthanc 1.10 ends at a request by HTTPS, for its civetweb knows no OpenSSL 3
    )
    orthanc.config.write_text(json.dumps(json.loads(orthanc.config.read_text()) | settings))
    (image,) = write_demo_files(tmp_path / "images")[:1]
    with node:
        node.wait_until_healthy()
        orthanc.start()
        try:
            requests.post(f"{orthanc.url}/instances", data=image.read_bytes(), timeout=PATIENCE_S).raise_for_status()
            wait_until(lambda: orthanc.counts().get("SR"), (tmp_path / "home" / "log").read_text)
            assert requests.get(f"{orthanc.dicomweb}/studies", timeout=PATIENCE_S).status_code == 200
            for port in (node.port, orthanc.dicom_port):  # who has no certificate is not heard
                assert store(port, [image], calling="ORTHANC") == [None]
        finally:
            orthanc.stop()
        assert node.stop() == 0
    assert not node.is_healthy()


# its parts have quick tests: the environment in tests/label, the entrypoint's link to it, the server
@pytest.mark.slow
def test_the_label_server_starts_with_the_environment_of_the_image(
    installed: Path, certificates: Path, tmp_path: Path
) -> None:
    subprocess.run([DOCKER / "label.sh", installed], check=True, timeout=PATIENCE_S)
    studies = tmp_path / "studies"
    studies.mkdir()
    Image.fromarray(make_phantom(0, (64, 64)).image).save(studies / "phantom.png")
    replaced = {"https://orthanc:8042/dicom-web": str(studies), CERTIFICATES: str(certificates / "label")}
    with Container("label", installed, tmp_path / "home", **replaced) as label:
        label.wait_until_healthy()
        (token,) = set(re.findall(r"/token/(\S+)", (tmp_path / "home" / "log").read_text()))
        url, ca = f"https://127.0.0.1:{label.port}/datastore/?output=all", str(certificates / "ca.pem")
        assert requests.get(url, timeout=PATIENCE_S, verify=ca).status_code == 401
        listed = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S, verify=ca).json()
        assert list(listed["objects"]) == ["phantom"]
    assert [path.is_symlink() for path in (tmp_path / "home").glob(".cache/bus_monai/monailabel-*")] == [True]


@pytest.mark.slow
def test_mlflow_answers_to_its_names_and_who_logs_in_alone(installed: Path, certificates: Path, tmp_path: Path) -> None:
    def ask(name: str, *login: str) -> int:
        url = f"https://127.0.0.1:{mlflow.port}/api/2.0/mlflow/experiments/search"
        auth = (login[0], login[1]) if login else None
        more: dict[str, Any] = {"headers": {"Host": name}, "auth": auth, "verify": str(certificates / "ca.pem")}
        return requests.post(url, json={"max_results": 1}, timeout=PATIENCE_S, **more).status_code

    with Container("mlflow", installed, tmp_path / "home", **{CERTIFICATES: str(certificates / "mlflow")}) as mlflow:
        mlflow.wait_until_healthy()
        # the value of a variable is its name here
        login = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        names = [f"mlflow:{mlflow.port}", f"127.0.0.1:{mlflow.port}", "other.example"]
        assert [ask(name, *login) for name in names] == [200, 200, 403]
        assert [ask(names[0]), ask(names[0], login[0], "password1234")] == [401, 401]
        assert (tmp_path / "home" / "mlflow.db").is_file()


@pytest.mark.slow
def test_the_bill_of_materials_names_what_is_installed(installed: Path, tmp_path: Path) -> None:
    command = [DOCKER / "sbom.sh", installed / "bin" / "python", tmp_path / "sbom.json"]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    made = json.loads((tmp_path / "sbom.json").read_text())
    assert made["bomFormat"] == "CycloneDX"
    versions = {component["name"]: component["version"] for component in made["components"]}
    assert versions["bus-monai"] == __version__
    assert {"torch", "pydicom", "mlflow", "Flask-WTF"} <= set(versions)


def test_a_wrong_kind_of_image_is_named(tmp_path: Path) -> None:
    done = subprocess.run([DOCKER / "install.sh", tmp_path, "rocm"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "install.sh: 'rocm' is no kind of image: give cpu or cuda.\n")


@pytest.mark.parametrize(
    "script", ["install.sh", "label.sh", "sbom.sh", "certificates.sh", "entrypoint.sh", "health.sh"]
)
def test_the_scripts_can_be_run(script: str) -> None:
    assert (DOCKER / script).stat().st_mode & 0o111 == 0o111
