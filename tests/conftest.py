"""What several tests need: real data, small phantoms, and skips that fail where nothing may be skipped."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from bus_monai.data.phantoms.ultrasound import make_phantom, write_phantoms
from tests.kept_readers import kept_readers
from tests.sharing import LONG, SHARED

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ROOT = Path(__file__).parent.parent
BUNDLE = ROOT / "bundles" / "rdau_gan"
SMALL = {"base_width": 4, "depth": 5}

# a shared machine may stand still for longer than any example takes, and than examples take to be made
settings.register_profile("bus_monai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bus_monai")

# nothing that is imported with the tests is garbage, and to look for some takes seconds
gc.disable()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it puts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what shares a server or a browser, or is long: at the end the others would wait for it."""

    def place(item: pytest.Item) -> tuple[bool, bool]:
        file = item.nodeid.partition("::")[0]
        return file not in SHARED, file not in LONG

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    # here, so that tests run without pytest-xdist too
    from tests.scheduler import FilesTogether

    return FilesTogether(config, log)


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the test's own, emptied after it unless it failed: checkpoints of all tests fill a disk.

    The folder itself stays, so that no other gets its name: MLflow keeps its connection to a store by the path.
    """
    yield tmp_path
    if not request.node.stash.get(_failed, False):
        for path in tmp_path.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()


def skip(reason: str) -> None:
    """Skip, or fail where ``BUS_MONAI_NO_SKIP`` is set."""
    if os.environ.get("BUS_MONAI_NO_SKIP"):
        pytest.fail(f"nothing may be skipped here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real data."""
    folder = Path(os.environ.get("BUS_MONAI_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "busi").is_dir():
        skip(f"no real images: '{folder}/data/busi' does not exist (set BUS_MONAI_SHARED)")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a headless browser."""
    path = shutil.which("chromium") or shutil.which("google-chrome") or ""
    if not path:
        skip("no browser: install chromium")
    return path


@pytest.fixture(scope="session")
def orthanc_files() -> tuple[str, Path]:
    """The program Orthanc, a PACS, and its plugin for DICOMweb."""
    program = shutil.which("Orthanc", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))) or ""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not program or not plugin.exists():
        skip("no PACS: install orthanc and orthanc-dicomweb")
    return program, plugin


@pytest.fixture(scope="session")
def small_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four phantoms of 64x64 with a datalist."""
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", count=24, size=(64, 64), seed=3)


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small generator of ``baseline`` that has learned nothing, with the settings beside them."""
    # here, so that tests that need no network start at once
    import torch
    from torch import nn

    from bus_monai.networks.segmenters import make_segmenter

    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    network = make_segmenter("cgan", SMALL).eval()
    phantom = torch.from_numpy(make_phantom(0, (64, 64)).image.astype(np.float32) / 255)[None, None]
    head = [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)][-1]
    with torch.no_grad():
        head.weight *= 200
        # so that a few pixels of a hundred are lesion
        head.bias -= network(phantom).quantile(0.97) / 2
    torch.save(network.state_dict(), folder / "model.pt")
    settings = {"network_name": "cgan", "network_options": SMALL, "image_size": [32, 32]}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder / "model.pt"


@pytest.fixture(autouse=True, scope="session")
def _kept_readers() -> Iterator[None]:
    with kept_readers():
        yield


@pytest.fixture(autouse=True, scope="session")
def _quiet_git() -> None:
    # MLflow asks git for a commit, which prints a warning where there is none
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    return


NO_WAIT = "PRAGMA synchronous = OFF"


class HastyConnection(sqlite3.Connection):
    """Waits for no disk, whatever it is told first."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql.startswith("PRAGMA"):
            super().execute(NO_WAIT)
        return cursor


@pytest.fixture(autouse=True, scope="session")
def _no_wait_for_the_disk() -> Iterator[None]:
    """Wait for no disk, where a training commits two hundred times to MLflow's store; no test ends the power."""

    def connected(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(NO_WAIT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=HastyConnection))
        if "sqlalchemy" in sys.modules:
            from sqlalchemy import event
            from sqlalchemy.engine import Engine

            event.listen(Engine, "connect", connected)
        yield


@pytest.fixture(autouse=True, scope="session")
def _mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let MLflow run its sixty-odd migrations once; each later store starts as a copy of the first one, still empty."""
    if "mlflow" not in sys.modules:
        # no test here tracks a run, and importing MLflow takes a second
        yield
        return
    from mlflow.store.db import utils

    own = tmp_path_factory.getbasetemp()
    # the workers of pytest-xdist have folders beside one another
    template = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mlflow.db"
    initialize = utils._initialize_tables

    def copy(source: str | Path, target: str | Path) -> None:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
            write.execute(NO_WAIT)
            read.backup(write)

    def copy_template(engine: Engine) -> None:
        database = engine.url.database
        if engine.dialect.name != "sqlite" or not database:
            initialize(engine)
            return
        with FileLock(template.with_suffix(".lock")):
            if not template.exists():
                initialize(engine)
                copy(database, template)
                return
        copy(template, database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", copy_template)
        yield


@pytest.fixture(autouse=True, scope="session")
def _small_pictures() -> Iterator[None]:
    """Draw figures for a screen, where those for print take twice as long; ``tests/report/test_paper.py`` has these."""
    with pytest.MonkeyPatch.context() as patch:
        # no test here draws where it is not loaded, which takes half a second
        if paper := sys.modules.get("bus_monai.report.paper"):
            patch.setattr(paper, "DPI", 100)
        yield
