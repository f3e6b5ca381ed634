"""The batch job, killed, interrupted and started twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.inference import batch
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors.local import MAX_FILES_AHEAD
from bus_monai.inference.manifest import Manifest
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.segment_files import PNG, contents, draw, table
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S, wait_until

SCRIPT = Path(__file__).parent / "bright_predictor.py"


def test_a_second_run_at_the_same_time_is_refused(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "in" / "x.png")
    begun, go_on = threading.Event(), threading.Event()
    predict = bright.predict
    monkeypatch.setattr(bright, "predict", lambda pixels: (begun.set(), go_on.wait(PATIENCE_S), predict(pixels))[2])
    first = threading.Thread(
        target=segment_inputs, args=([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    )
    first.start()
    try:
        assert begun.wait(PATIENCE_S)
        with raises_user_error("another run", path=tmp_path / "out" / "manifest.sqlite"):
            segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    finally:
        go_on.set()
        first.join()
    assert table(tmp_path / "out")[0]["state"] == "done"


def test_files_begun_are_bounded(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery does not run ahead, so that memory does not grow with the number of files."""
    for number in range(40):
        draw(tmp_path / "in" / f"{number:02d}.png")
    found, done, most = [0], [0], [0]
    real, predict = batch.find_sources, bright.predict
    far_ahead = threading.Event()

    def find(*arguments: Any, **options: Any) -> Any:
        for path in real(*arguments, **options):
            found[0] += 1
            most[0] = max(most[0], found[0] - done[0])
            if found[0] == MAX_FILES_AHEAD:
                far_ahead.set()
            yield path

    def predict_when_found(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        # as if a file took as long as it takes to find as many as may be begun
        assert far_ahead.wait(PATIENCE_S)
        done[0] += 1
        return predict(pixels)

    monkeypatch.setattr(batch, "find_sources", find)
    monkeypatch.setattr(bright, "predict", predict_when_found)
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert (found[0], done[0]) == (40, 40)
    assert MAX_FILES_AHEAD <= most[0] <= MAX_FILES_AHEAD + 1


def test_interrupted_while_a_file_is_recorded(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "abcd":
        draw(source / f"{name}.png")
    finish, calls = Manifest.finish, [0]

    def interrupted(self: Manifest, *arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        finish(self, *arguments)

    monkeypatch.setattr(Manifest, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment_inputs([source], out, bright, SegmentSettings(PNG))
    known = {f"{row['output']}_mask.png" for row in table(out)}
    assert {"a_mask.png", "b_mask.png"} <= known
    assert known == {path.name for path in out.glob("*_mask.png")}


def draw_many(source: Path, files: int) -> random.Random:
    chance = random.Random(files)
    for number in range(files):
        box = (chance.randrange(10), chance.randrange(10), chance.randrange(12, 20), chance.randrange(12, 30))
        draw(source / f"{number % 7}" / f"{number:03d}.png", box)
    return chance


def killed_and_started_again(tmp_path: Path, files: int, kills: int) -> list[int]:
    """Kill a run at random moments, let the last one end, and compare with an undisturbed one; return what each did."""
    source = tmp_path / "in"
    chance = draw_many(source, files)
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(source)]
    subprocess.run([*command, str(tmp_path / "whole"), "0"], check=True, capture_output=True, env=environment)
    counts = []
    masks = 0
    for _ in range(kills):
        wanted = masks + chance.randrange(3 * files // (2 * kills))
        run = subprocess.Popen(
            [*command, str(tmp_path / "out"), "0.01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert run.stdout is not None
        run.stdout.readline()
        while masks < wanted and run.poll() is None:
            masks = len(list((tmp_path / "out").rglob("[!.]*_mask.png")))
        time.sleep(0.02 * chance.random())
        run.kill()
        run.communicate()
        counts.append(len(list((tmp_path / "out").rglob("[!.]*_mask.png"))))
    subprocess.run([*command, str(tmp_path / "out"), "0"], check=True, capture_output=True, env=environment)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(table(tmp_path / "out")) == files
    return counts


def test_killed_at_random_moments(tmp_path: Path) -> None:
    counts = killed_and_started_again(tmp_path, files=12, kills=2)
    assert counts == sorted(counts)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_forty_times_over_two_hundred_files(tmp_path: Path) -> None:
    counts = killed_and_started_again(tmp_path, files=200, kills=40)
    assert counts == sorted(counts)
    assert len(set(counts)) > 5


COMMAND = """
import sys
from pathlib import Path
from bright_predictor import BrightPredictor
from bus_monai.cli.main import main
from bus_monai.bundle import models
from bus_monai.inference import predictor

trained = BrightPredictor(Path(sys.argv.pop(1)), stop_at=(20, Path(sys.argv.pop(1))))
models.parse_models = lambda *specs, **options: [trained.model]
predictor.Predictor = lambda *arguments, **options: trained
main()
"""


def test_interrupted_by_the_user(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 60)
    segment_inputs([source], tmp_path / "whole", bright, SegmentSettings(("overlay", "png", "nifti")))
    path = os.pathsep.join((str(SCRIPT.parent), str(SCRIPT.parents[2])))
    words = ["segment", str(source), "--out", str(out), "--write", "png,overlay,nifti"]
    run = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "weights"), str(tmp_path / "go on"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    wait_until(lambda: list(out.rglob("[!.]*_mask.png")) or run.poll() is not None)
    run.send_signal(signal.SIGINT)
    (tmp_path / "go on").touch()
    printed, errors = run.communicate()
    assert run.returncode == 130, errors
    assert printed == "Stopped: what was begun is finished and recorded; run the command again to go on.\n"
    assert "Traceback" not in errors
    known = [row["output"] for row in table(out)]
    assert 0 < len(known) < 60
    assert {f"{name}_mask.png" for name in known} == {str(p.relative_to(out)) for p in out.rglob("[!.]*_mask.png")}
    segment_inputs([source], out, bright, SegmentSettings(("overlay", "png", "nifti")))
    assert contents(out) == contents(tmp_path / "whole")
