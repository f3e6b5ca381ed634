"""The installation that the images hold, made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docker/install.sh makes of the files that git has; torch and the like are those of the tests."""
    folder = tmp_path_factory.mktemp("docker")
    source, venv = folder / "src", folder / "bus_monai"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    packages = venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "_tests.pth").write_text(sysconfig.get_paths()["purelib"])
    # as in an image: the Python of the installation first, and nothing that leads to the working tree
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    command = [source / "docker" / "install.sh", venv, "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return venv


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docker/certificates.sh makes, a folder for each server of docker/compose.yaml."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "docker" / "certificates.sh", folder, "orthanc", "serve", "label", "mlflow"], check=True)
    return folder
