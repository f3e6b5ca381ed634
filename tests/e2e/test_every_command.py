"""Every command of README, docs and cards runs, small, and what it says it writes is there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest
import requests

from bus_monai.data.demo_files import write_demo_files
from tests import published_layouts
from tests.conftest import ROOT, skip
from tests.e2e.forked import run_forked
from tests.e2e.given import MAMMOGRAMS, SIZE, stand_ins, write_given
from tests.e2e.shrunk import shrunk
from tests.free_port import free_port
from tests.pacs.orthanc_server import OrthancServer
from tests.test_documented_commands import lines, words_of
from tests.waiting import PATIENCE_S

NOT_RUN: Mapping[str, str] = {
    "make *": "sets up an environment from the network, and runs these tests; its parts are run one by one",
    "pip install *": "needs the network; tests/docker installs the package",
    "docker *": "needs an engine and the network; tests/docker runs what the images hold",
    "mlflow ui *": "MLflow's own server, which starts half a dozen processes",
    "echoscu *": "DCMTK is not ours; tests/pacs asks the node",
    "pytest *": "is one of the slow tests",
    "python benchmarks/gpu.py": "needs a GPU; the same on a processor is run",
    "python benchmarks/audit.py *": "counts against the published copies of BUSI's images",
    "* --dicomweb URL --study UID *": "is run as docs/pacs.md writes it",
    "* --allow AET --send-to AET@HOST:PORT": "is run as docs/pacs.md writes it",
}
SERVERS = ("bus-monai label", "bus-monai serve")
OUTPUTS = ("--out", "--output_dir", "--ckpt_dir", "--filepath", "--plot")
SECONDS = float(PATIENCE_S)

Commands = list[tuple[str, list[str]]]


def pages() -> dict[str, Commands]:
    """Each page's lines and their words, in its order."""
    found: dict[str, Commands] = {}
    for page, line in lines():
        line = stand_ins(page, line)
        found.setdefault(page, []).append((line, words_of(line)))
    return found


PAGES = pages()


def reason(words: list[str]) -> str | None:
    return next((NOT_RUN[rule] for rule in NOT_RUN if fnmatchcase(" ".join(words), rule)), None)


def test_each_reason_is_of_a_command() -> None:
    texts = [" ".join(words) for commands in PAGES.values() for _, words in commands]
    assert [rule for rule in NOT_RUN if not any(fnmatchcase(text, rule) for text in texts)] == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of the commands: a cache of its own, whose embedded data are small."""
    from bus_monai.data.phantoms import mammogram as mammo_phantoms
    from bus_monai.data.phantoms import ultrasound as phantoms
    from bus_monai.io.atomic import cache_folder

    before = cache_folder()
    cache = tmp_path_factory.mktemp("cache")
    write, write_mammo = phantoms.write_phantoms, mammo_phantoms.write_mammo_phantoms
    with pytest.MonkeyPatch.context() as patch:
        # before any process is forked
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("BUS_MONAI_CACHE", str(cache))
        patch.setattr(phantoms, "write_phantoms", lambda to, **_: write(to, count=16, size=SIZE))
        patch.setattr(mammo_phantoms, "write_mammo_phantoms", lambda to, **_: write_mammo(to, count=12))
        phantoms.phantom_dataset()
        mammo_phantoms.mammo_phantom_dataset()
        # MONAI Label's environment is made once for all tests
        for made in before.glob("monailabel-*"):
            (cache / made.name).symlink_to(made)
        yield {**os.environ, "BUS_MONAI_DICOMWEB_TOKEN": "token", "MPLBACKEND": "agg"}


@pytest.fixture(scope="module")
def given(small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pages") / "given"
    write_given(folder, small_weights)
    yield folder
    shutil.rmtree(folder)


class Workplace:
    """A folder as the root of the repository, for one page."""

    def __init__(self, page: str, folder: Path, given: Path, environment: Mapping[str, str]) -> None:
        self.page, self.folder = page, folder
        self.done: list[list[str]] = []
        self.environment = {**environment, "PYTHONPATH": str(folder), "BUS_MONAI_SHARED": str(folder / "shared")}
        (folder / "bus_monai").symlink_to(ROOT / "bus_monai")
        ignored = shutil.ignore_patterns("*.pt", "eval", "__pycache__")
        for name in ("bundles", "benchmarks", "docker"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        (folder / "docs" / "images").mkdir(parents=True)
        text = " ".join(line for line, _ in PAGES[page])
        named = {path.name: path for path in given.iterdir()}
        if page.startswith(MAMMOGRAMS):
            named |= {path.name: path for path in (given / "mammograms").iterdir()}
        for name in named.keys() & set(re.findall(r"[\w.-]+", text)):
            copy = shutil.copytree if named[name].is_dir() else shutil.copy
            copy(named[name], folder / name)
        if page in ("README.md", "bundles/baseline/docs/README.md"):
            # docs/researcher.md trains it
            shutil.copytree(given / "WEIGHTS", folder / "runs" / "unet")
        (folder / "shared" / "data").mkdir(parents=True)
        (folder / "shared" / "data" / "busi").symlink_to(given / "BUSI")
        if "app/model" in text:
            shutil.copytree(folder / "bundles" / "lite_unet", folder / "app" / "model" / "lite_unet")

    def run(self, line: str, words: list[str]) -> list[str]:
        """Run a command, shrunk, and return what is wrong with its end or with what it leaves."""
        words = self.words(words)
        if words in self.done:
            # two commands of a page may be one when they are small
            return []
        self.done.append(words.copy())
        print("$", *words, flush=True)
        start = time.time()
        if " ".join(words).startswith(SERVERS):
            code, text = self.serve(words)
        elif words[0] in ("python", "bus-monai"):
            code, text = run_forked(words, self.folder, self.environment, SECONDS)
        else:
            torchrun = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
            command = torchrun if words[0] == "torchrun" else ["bash", "-c", line]
            code, text = self.wait(self.start(command))
        print(f"  {time.time() - start:.1f} s", flush=True)
        if code:
            return [f"{' '.join(words)} ends with {code}:\n{text[-3000:]}"]
        return [
            f"{' '.join(words)} leaves nothing new in {path}:\n{text[-3000:]}"
            for path in self.outputs(words)
            if not _holds_new(path, start)
        ]

    def words(self, words: list[str]) -> list[str]:
        if words[:3] == ["bus-monai", "data", "prepare"]:
            getattr(published_layouts, words[3])(self.folder / words[4])
        if words[:2] == ["bus-monai", "data"] and "--out" in words and words[2] != "audit":
            # the page makes it anew
            shutil.rmtree(self.folder / words[words.index("--out") + 1], ignore_errors=True)
        expanded: list[str] = []
        for word in words:
            name, colon, pattern = word.rpartition(":")
            pattern = pattern.replace("TRIAL", "*")
            found = sorted(self.folder.glob(pattern)) if "*" in pattern else []
            one = found[:1] if colon else found
            expanded += [f"{name}{colon}{path.relative_to(self.folder)}" for path in one] or [word]
        return shrunk(expanded)

    def outputs(self, words: list[str]) -> list[Path]:
        """Where the command says that it writes."""
        named = [(option, self.folder / value) for option, value in pairwise(words)]
        paths = [path / "model.pt" if option == "--ckpt_dir" else path for option, path in named if option in OUTPUTS]
        trains = words[:2] == ["bus-monai", "train"] or ("monai.bundle" in words and "training" in words)
        if trains and "--ckpt_dir" not in words and "--help" not in words:
            (bundle,) = (
                root for root in (self.folder / "bundles").iterdir() if re.search(rf"\b{root.name}\b", str(words))
            )
            paths.append(bundle / "models" / "model.pt")
        if "bus_monai.inference.ship_model" in words:
            paths.append(self.folder / "bundles" / words[-1].partition(":")[0] / "models" / "model.safetensors")
        if "bus_monai.data.demo_files" in words or words[0] == "sed":
            paths.append(self.folder / words[-1])
        return paths

    def serve(self, words: list[str]) -> tuple[int, str]:
        """Start a server, wait for its answer, and stop it as a service is stopped."""
        port = free_port()
        changed = {"--host": "127.0.0.1", "--port": str(port), "--spool": "spool"}
        words += [] if "--port" in words else ["--port", str(port)]
        # the default may be that of a node that runs here
        words += ["--health-port", str(free_port())] if "--send-to" in words and "--health-port" not in words else []
        words[:] = [changed.get(before, word) for before, word in zip(["", *words], words, strict=False)]
        process = self.start([sys.executable, "-m", "bus_monai", *words[1:]])
        url = f"http://127.0.0.1:{port}/{'auth/' if 'label' in words else ''}"
        end = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < end:
            try:
                requests.get(url, timeout=SECONDS).raise_for_status()
                break
            except requests.HTTPError as error:
                raise AssertionError(str(error)) from error
            except requests.RequestException as error:
                # a DICOM node takes the connection and ends it, since it speaks no HTTP
                if "serve" in words and "Connection aborted" in str(error):
                    break
                time.sleep(0.2)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code, text = self.wait(process)
        # uvicorn ends itself by the signal that it got
        return (0 if code == -signal.SIGTERM else code), text

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        try:
            text, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
        return process.returncode, text


def _holds_new(path: Path, start: float) -> bool:
    states = [file.stat() for file in (path, *path.rglob("*")) if file.is_file()]
    return any(state.st_size and state.st_mtime >= start - 1 for state in states)


@pytest.fixture
def workplace(request: pytest.FixtureRequest, given: Path, environment: dict[str, str], tmp_path: Path) -> Workplace:
    return Workplace(request.param, tmp_path, given, environment)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workplace", PAGES, ids=list(PAGES), indirect=True)
def test_a_page_runs(workplace: Workplace, request: pytest.FixtureRequest) -> None:
    faults = []
    for line, words in PAGES[workplace.page]:
        if reason(words) is not None:
            continue
        if words[:2] == ["bus-monai", "label"]:
            request.getfixturevalue("label_environment")
        if "--dicomweb" in words:
            words = study_of_a_pacs(words, workplace.folder, request)
        found = workplace.run(line, words)
        print(*found, sep="\n", flush=True)
        faults += found
    assert not faults, f"{workplace.page}: " + "\n".join(faults)


@pytest.fixture(scope="module")
def label_environment() -> None:
    from bus_monai.errors import UserError
    from bus_monai.label.environment import label_environment

    try:
        label_environment()
    except UserError as error:
        skip(f"no MONAI Label: {error}")


def study_of_a_pacs(words: list[str], folder: Path, request: pytest.FixtureRequest) -> list[str]:
    """Return the words with a study in an Orthanc that runs until the test ends."""
    (folder / "sent").mkdir()
    server = OrthancServer(folder / "orthanc", *request.getfixturevalue("orthanc_files"))
    server.start()
    request.addfinalizer(server.stop)
    path = write_demo_files(folder / "sent")[0]
    requests.post(f"{server.url}/instances", data=path.read_bytes(), timeout=SECONDS).raise_for_status()
    given = {"--dicomweb": server.dicomweb, "--study": str(pydicom.dcmread(path).StudyInstanceUID)}
    return [given.get(before, word) for before, word in zip(["", *words], words, strict=False)]
