"""A server of ``bus-monai label`` in a process of its own, and MONAI Label's client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.data.datalist import read_datalist
from bus_monai.errors import UserError
from bus_monai.io.image import read_masks
from tests.conftest import skip

START_S = 400
MODEL = "small"


@pytest.fixture(autouse=True, scope="session")
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sign with a key of the tests, in the processes that they start too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def label_python() -> Iterator[Path]:
    """The Python of MONAI Label's environment, which the command itself makes; its packages can be imported here."""
    from bus_monai.label.environment import label_environment

    try:
        python = label_environment()
    except UserError as error:
        skip(f"no MONAI Label: {error}")
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    # behind ours, so that nothing of ours is hidden
    sys.path.append(str(packages))
    yield python
    sys.path.remove(str(packages))


@pytest.fixture(scope="module")
def studies(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six phantoms without their masks, and of a broken image."""
    folder = tmp_path_factory.mktemp("label") / "studies"
    folder.mkdir()
    for number, case in enumerate(read_datalist(small_phantoms).training[:6]):
        shutil.copy(case.image, folder / f"phantom_{number:04d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


@pytest.fixture(scope="module")
def truth(small_phantoms: Path) -> dict[str, NDArray[np.uint8]]:
    """The labels of those phantoms by their names."""
    cases = read_datalist(small_phantoms).training[:6]
    masks = [read_masks(case.masks, (64, 64)).astype(np.uint8) for case in cases]
    return {f"phantom_{number:04d}": mask for number, mask in enumerate(masks)}


class Server:
    """A running server: ``url``, its ``studies``, and ``client()``."""

    def __init__(self, studies: Path | str, weights: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.weights = weights
        self.studies, self.url = studies, f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "bus_monai", "label", "--studies", str(studies)]
        self.command += ["--bundles", f"{MODEL}=baseline:{weights}", "--port", str(self.port)]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        end = time.monotonic() + START_S
        while True:
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate()[0])
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert time.monotonic() < end, "the server does not start"
                time.sleep(0.2)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self) -> Any:
        from monailabel.client.client import MONAILabelClient

        return MONAILabelClient(self.url)


@pytest.fixture(scope="module")
def serve(label_python: Path, small_weights: Path) -> Iterator[Callable[[Path | str], Server]]:
    """Start servers over folders; they end with the module."""
    servers: list[Server] = []

    def start(studies: Path | str) -> Server:
        servers.append(Server(studies, small_weights))
        return servers[-1].start()

    yield start
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.process.terminate()
            server.process.wait()
