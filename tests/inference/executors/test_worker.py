"""What another process does of a job, and what becomes of what ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bus_monai.inference.executors.worker import MAX_TRIES, Worker
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.inference.segment_frames import FoundFrame, Frame
from tests.inference.executors.spread import TOO_MUCH, Spread, frame_of
from tests.inference.segment_files import PNG, draw
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S, is_running, wait_until


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


class Both(Spread):
    """Waits at each image until another one is in the same process, and dies of a white one beside it."""

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        (self.folder / f"seen-{os.getpid()}-{len(pixels)}").touch()
        wait_until(lambda: len(list(self.folder.glob("seen-*"))) > 1)
        return super().predict(pixels)


def test_a_file_is_segmented_beside_another_one_and_does_not_answer_for_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "deaths").write_text("99")
    both = Both(tmp_path / "weights")
    worker = Worker(SegmentFile(both, tmp_path / "out", SegmentSettings(PNG), datetime.now(timezone.utc)))
    paths = [tmp_path / f"{height}.png" for height in (24, 25)]
    Image.fromarray(np.full((24, 32), 255, np.uint8)).save(paths[0])
    draw(paths[1], (2, 2, 8, 8), size=(25, 32))
    try:
        assert worker.is_ready()
        began = worker._popen.pid
        with ThreadPoolExecutor(2) as threads:
            white, other = threads.map(lambda path: worker(path, path.stem), paths)
        assert (white.state, other.state) == ("failed", "done")
        assert both.processes(24) > {began}
        assert began in both.processes(25)
        assert (tmp_path / "deaths").read_text() == str(99 - MAX_TRIES)
    finally:
        worker.close()


def test_a_worker_that_is_asked_no_more_ends_by_itself(spread: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = draw(tmp_path / "a.png", (2, 2, 8, 8))
    worker = Worker(SegmentFile(spread, tmp_path / "out", SegmentSettings(PNG), datetime.now(timezone.utc)))
    assert worker.is_ready()
    assert worker(path, "a").state == "done"
    worker._requests.close()
    assert worker._popen.wait(PATIENCE_S) == 0
    worker.close()


def test_a_frame_that_ends_its_process_is_tried_again(looking: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    segment = SegmentFile(looking, tmp_path / "out", SegmentSettings(PNG), datetime.now(timezone.utc))
    white = frame_of(np.full((24, 32), 255, np.uint8))
    worker = Worker(segment, reads=False)
    here: list[Frame] = []

    def find(frame: Frame) -> FoundFrame:
        here.append(frame)
        return segment.find(frame)

    try:
        assert worker.is_ready()
        (tmp_path / "deaths").write_text("1")
        found = worker.find(white, find)
        assert (found.area, found.labels.unpacked().tolist(), here) == (24 * 32, [[1] * 32] * 24, [])  # type: ignore[union-attr]
        (tmp_path / "deaths").write_text("99")
        with raises_user_error("Frame 7", str(MAX_TRIES)):
            worker.find(white, find)
        assert (tmp_path / "deaths").read_text() == str(99 - MAX_TRIES)
        # what fails there is tried here, which says why
        failing = frame_of(np.full((24, 32), TOO_MUCH, np.uint8))
        assert (worker.find(failing, find).area, here) == (0, [failing])
        # and the process still segments files
        assert worker(draw(tmp_path / "a.png", (2, 2, 8, 8)), "a").state == "done"
    finally:
        worker.close()


STARTED = """
import signal, sys
from datetime import datetime, timezone
from pathlib import Path
from bus_monai.inference.executors.worker import Worker
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
    wait_until(lambda: not is_running(worker))
