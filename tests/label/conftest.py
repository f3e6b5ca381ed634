"""A server of ``bus-monai label`` in a process of its own, MONAI Label's client, and the page in a browser."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import read_datalist
from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.errors import UserError
from bus_monai.io.image import read_masks
from tests.conftest import skip
from tests.free_port import free_port
from tests.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from tests.label.page import Page, Tab

MODEL = "small"


@pytest.fixture(autouse=True, scope="session")
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sign with a key of the tests, in the processes that they start too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def made_environment() -> Path:
    """The Python of MONAI Label's environment, which the command itself makes."""
    from bus_monai.label.environment import label_environment

    try:
        return label_environment()
    except UserError as error:
        skip(f"no MONAI Label: {error}")


@pytest.fixture(scope="module")
def label_python(made_environment: Path) -> Iterator[Path]:
    """The Python of MONAI Label's environment, whose packages can be imported here."""
    (packages,) = made_environment.parent.parent.glob("lib/python*/site-packages")
    # behind ours, so that nothing of ours is hidden
    sys.path.append(str(packages))
    yield made_environment
    sys.path.remove(str(packages))


@pytest.fixture(scope="module")
def label_module(label_python: Path) -> Callable[[str], ModuleType]:
    """Import a module of ``bus_monai.label`` that builds on MONAI Label, which can be imported once this is needed."""
    import_module("bus_monai.label.compatibility")
    return lambda name: import_module(f"bus_monai.label.{name}")


def fill_studies(folder: Path, phantoms: Path) -> Path:
    """Make a folder of six phantoms without their masks, and of a broken image."""
    folder.mkdir()
    for number, case in enumerate(read_datalist(phantoms).training[:6]):
        shutil.copy(case.image, folder / f"phantom_{number:04d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


@pytest.fixture(scope="session")
def truth(small_phantoms: Path) -> dict[str, NDArray[np.uint8]]:
    """The labels of those phantoms by their names."""
    cases = read_datalist(small_phantoms).training[:6]
    masks = [read_masks(case.masks, (64, 64)).astype(np.uint8) for case in cases]
    return {f"phantom_{number:04d}": mask for number, mask in enumerate(masks)}


def png_of(shape: tuple[int, int] = (64, 64), value: int = 1) -> bytes:
    """Return a PNG file of one gray value."""
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(file, "PNG")
    return file.getvalue()


class Server:
    """A running server.

    Args:
        studies: it has ``url``, its ``studies``, and ``token`` as soon as it has started.
        weights: of its model.
        home: folder that it is started in and that its temporary files go to.
        options: of the command.
    """

    def __init__(self, studies: Path | str, weights: Path, home: Path | None = None, *options: str) -> None:
        self.weights, self.port = weights, free_port()
        self.studies, self.url = studies, f"http://127.0.0.1:{self.port}"
        # as the installed command begins: the folder at hand is no place of modules
        begin = "import sys; del sys.path[0]; from bus_monai.cli.main import main; main()"
        self.command = [sys.executable, "-c", begin, "label", "--studies", str(studies)]
        self.command += ["--bundles", f"{MODEL}=baseline:{weights}", "--port", str(self.port), *options]
        self.process: subprocess.Popen[str] | None = None
        self.token, self.home, self.is_ours = "", home, True

    def start(self) -> Server:
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            env={**os.environ, "OMP_NUM_THREADS": "1", **({"TMPDIR": str(self.home)} if self.home else {})},
        )
        if self.is_ours:
            self._read_token()
        wait_until(self._listens)
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(self.process.communicate()[0])
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _read_token(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(rf"{re.escape(self.url)}/bus/(?:\?token=(\S+))? offers", line):
                self.token = found[1] or ""
                return

    @property
    def page(self) -> str:
        """The address that is printed for the page."""
        return f"{self.url}/bus/?token={self.token}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Return the answer to a request with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=PATIENCE_S, **more)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self) -> Any:
        """Return MONAI Label's client, logged in."""
        from monailabel.client.client import MONAILabelClient

        client = MONAILabelClient(self.url)
        assert client.auth_enabled() == bool(self.token)
        if self.token:
            client.update_auth(client.auth_token("annotator", self.token))
        return client


@pytest.fixture(scope="session")
def server(
    made_environment: Path, small_phantoms: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The server of most tests, started in a folder with programs that are none of ours."""
    home = tmp_path_factory.mktemp("home")
    for name in ("json", "monailabel", "torch") if sys.version_info >= (3, 11) else ():
        (home / f"{name}.py").write_text("raise SystemExit('a program of the folder at hand ran')\n")
    studies = fill_studies(tmp_path_factory.mktemp("label") / "studies", small_phantoms)
    server = Server(studies, small_weights, home).start()
    yield server
    server.stop()


@pytest.fixture
def nothing_is_left(server: Server) -> Iterator[None]:
    """After each test the server's folder of temporary files holds nothing that it did not hold before."""
    assert server.home is not None
    before = _names(server.home)
    yield
    # what goes may be a moment later than the answer, even than that to the test before
    wait_until(lambda: _names(server.home) <= before, lambda: _names(server.home) - before)
    assert {name for name in before if name.endswith(".py")} <= _names(server.home)


def _names(folder: Path) -> set[str]:
    """Return the paths of all files and folders in one, of which some may go meanwhile."""
    return {str(Path(place) / name) for place, folders, files in os.walk(folder) for name in (*folders, *files)}


@pytest.fixture(scope="module")
def serve(label_python: Path, small_weights: Path) -> Iterator[Callable[..., Server]]:
    """Start servers over folders; they end with the module."""
    servers: list[Server] = []

    def start(studies: Path | str, *options: str) -> Server:
        servers.append(Server(studies, small_weights, None, *options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def browsers(chromium: str) -> Iterator[Callable[[], Tab]]:
    """Open pages in browsers, each with what it remembers of its own."""
    # here, so that tests that need no browser start at once
    from tests.label.page import open_chromium

    # it ends with the module, since others may run an event loop
    with open_chromium(chromium) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def page_server(
    made_environment: Path, small_phantoms: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of phantoms and a calibrated cine, which all tests of the page share."""
    folder = tmp_path_factory.mktemp("page")
    studies = fill_studies(folder / "studies", small_phantoms)
    # those that are smaller do not look like ultrasound to the model that ships
    for name in ("phantom_0002", "phantom_0003"):
        Image.fromarray(make_phantom(8, (160, 200)).image).save(studies / f"{name}.png")
    for name in (*(f"other_{number}" for number in range(10)), *(f"trained_{number}" for number in range(3))):
        shutil.copy(studies / "phantom_0000.png", studies / f"{name}.png")
    write_demo_files(folder / "demo")[3].rename(studies / "cine.dcm")
    server = Server(studies, small_weights, None, "--bundles", f"{MODEL}=baseline:{small_weights},lite_unet").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def anns_page(browsers: Callable[[], Tab], page_server: Server) -> Page:
    from tests.label.page import Page

    tab = browsers()
    tab.goto(f"{page_server.url}/bus/")
    assert "token" in tab.inner_text("body")
    page = Page(tab, page_server, "Ann")
    # the first image by name cannot be read
    assert ".png'" in page.said("'")
    assert tab.url == f"{page_server.url}/bus/"
    assert page.read("document.cookie") == ""
    return page


@pytest.fixture
def ann(anns_page: Page, label_python: Path) -> Iterator[Page]:
    """The page of somebody called Ann, whose scripts did not fail."""
    yield anns_page
    assert not anns_page.errors
