"""The batch job in several processes of one machine: results as in one, whatever happens to the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors import local
from bus_monai.inference.executors.local import MAX_TRIES, LocalExecutor, Worker
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound

TWO = LocalExecutor(2)
OTHERS_READY_S = 60


class Spread(BrightPredictor):
    """Notes which process saw an image of which height; the first process waits until the other has seen one.

    At an all white image another process than the first ends, as often as the file of that name says.
    """

    backend = "openvino"

    def __init__(self, weights: Path, seconds: float = 0) -> None:
        super().__init__(weights, seconds)
        self.folder = weights.parent
        self.first = os.getpid()

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        (self.folder / f"seen-{os.getpid()}-{len(pixels)}").touch()
        deadline = time.monotonic() + OTHERS_READY_S
        while os.getpid() == self.first and len(self.processes()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        left = self.folder / "deaths"
        if os.getpid() != self.first and pixels.min() == 1 and (deaths := int(left.read_text())):
            left.write_text(str(deaths - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(pixels)

    def processes(self, height: int | str = "*") -> set[int]:
        return {int(path.name.split("-")[1]) for path in self.folder.glob(f"seen-*-{height}")}


@pytest.fixture
def spread(tmp_path: Path) -> Any:
    return Spread(tmp_path / "weights")


def draw_many(source: Path, files: int) -> None:
    for number in range(files):
        draw(source / f"{number % 3}" / f"{number:02d}.png", (2, 2, 8 + number % 9, 9 + number % 7))


def test_results_are_those_of_one_process(
    spread: Any, bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.chdir(tmp_path)
    source = Path("in")
    draw_many(source, 30)
    whole = ultrasound(source / "whole.dcm")
    (source / "truncated.dcm").write_bytes(whole.read_bytes()[:9000])
    (source / "empty.png").write_bytes(b"")
    ultrasound(source / "ct.dcm", Modality="CT")
    draw(source / "a\udcff.png", (2, 2, 8, 8))
    draw(source / "large.png", (2, 2, 900, 800), size=(2001, 2000))
    settings = SegmentSettings(PNG)
    alone = segment_inputs([source], Path("alone"), bright, settings)
    several = segment_inputs([source], Path("several"), spread, settings, executor=TWO)
    assert several == alone
    assert (several["done"], several["failed"], several["skipped"]) == (33, 2, 1)
    assert contents(Path("several")) == contents(Path("alone"))
    assert len(spread.processes()) == 2
    # where one is in memory at a time
    assert spread.processes(2001) == {os.getpid()}


def test_few_files_start_no_process(spread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "Worker", None)
    spread.first = 0
    draw_many(tmp_path / "in", local.FILES_BEFORE_WORKER - 1)
    totals = segment_inputs([tmp_path / "in"], tmp_path / "out", spread, SegmentSettings(PNG), executor=TWO)
    assert totals["done"] == local.FILES_BEFORE_WORKER - 1
    assert spread.processes() == {os.getpid()}


def test_without_other_processes_the_job_is_slower(
    spread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(segment: SegmentFile) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(local, "Worker", refuse)
    spread.first = 0
    draw_many(tmp_path / "in", 20)
    assert segment_inputs([tmp_path / "in"], tmp_path / "out", spread, SegmentSettings(PNG), executor=TWO)["done"] == 20


def test_interrupted_what_was_begun_is_recorded(spread: Any, bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 60)
    segment_inputs([source], tmp_path / "whole", bright, SegmentSettings(PNG))
    spread.seconds = 0.05

    def interrupt() -> None:
        deadline = time.monotonic() + OTHERS_READY_S
        while len(spread.processes()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    watching = threading.Thread(target=interrupt)
    watching.start()
    with pytest.raises(KeyboardInterrupt):
        segment_inputs([source], out, spread, SegmentSettings(PNG), executor=TWO)
    watching.join()
    known = [row["output"] for row in table(out)]
    assert 0 < len(known) < 60
    assert {f"{name}_mask.png" for name in known} == {str(p.relative_to(out)) for p in out.rglob("*_mask.png")}
    spread.seconds = spread.first = 0
    assert segment_inputs([source], out, spread, SegmentSettings(PNG))["done"] == 60
    assert contents(out) == contents(tmp_path / "whole")


def test_a_file_that_ends_its_process_is_tried_again(spread: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "white.png", tmp_path / "out"
    Image.fromarray(np.full((24, 32), 255, np.uint8)).save(path)
    out.mkdir()
    worker = Worker(SegmentFile(spread, out, SegmentSettings(PNG), datetime.now(timezone.utc)))
    try:
        assert worker.is_ready()
        for deaths, state, left in ((1, "done", 0), (99, "failed", 99 - MAX_TRIES)):
            (tmp_path / "deaths").write_text(str(deaths))
            outcome = worker(path, "white")
            assert (outcome.state, int((tmp_path / "deaths").read_text())) == (state, left)
            assert (str(path) in outcome.reason) == (state == "failed")
    finally:
        worker.close()


def test_a_worker_that_is_asked_no_more_ends_by_itself(spread: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = draw(tmp_path / "a.png", (2, 2, 8, 8))
    worker = Worker(SegmentFile(spread, tmp_path / "out", SegmentSettings(PNG), datetime.now(timezone.utc)))
    assert worker.is_ready()
    assert worker(path, "a").state == "done"
    worker._requests.close()
    assert worker._popen.wait(60) == 0
    worker.close()


STARTED = """
import signal, sys
from datetime import datetime, timezone
from pathlib import Path
from bus_monai.inference.executors.local import Worker
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from tests.inference.bright_predictor import BrightPredictor
folder = Path(sys.argv[1])
predictor, now = BrightPredictor(folder / "weights"), datetime.now(timezone.utc)
worker = Worker(SegmentFile(predictor, folder, SegmentSettings(("png",)), now))
assert worker.is_ready()
print(worker._popen.pid, flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone kills a process with the one that started it")
def test_killed_it_leaves_no_process_that_writes(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")))
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        os.kill(worker, 0)
        run.kill()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(worker)


def is_running(process: int) -> bool:
    try:
        # what has ended may still be listed
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
