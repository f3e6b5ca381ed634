"""The batch job in several processes of one machine: results as in one, whatever happens to the others."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors import local
from bus_monai.inference.executors.local import LocalExecutor
from bus_monai.inference.executors.worker import Worker
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from tests.inference.executors.interrupted import interrupted
from tests.inference.executors.spread import UNLIKE, frame_of
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound, write_cine
from tests.waiting import wait_until

TWO = LocalExecutor(2)


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
    def refuse(segment: SegmentFile, *, reads: bool) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(local, "Worker", refuse)
    spread.first = 0
    draw_many(tmp_path / "in", 20)
    assert segment_inputs([tmp_path / "in"], tmp_path / "out", spread, SegmentSettings(PNG), executor=TWO)["done"] == 20


def test_interrupted_what_was_begun_is_recorded(spread: Any, bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 60)
    segment_inputs([source], tmp_path / "whole", bright, SegmentSettings(PNG))
    with interrupted(spread, lambda: len(spread.processes()) > 1):
        segment_inputs([source], out, spread, SegmentSettings(PNG), executor=TWO)
    known = [row["output"] for row in table(out)]
    assert 0 < len(known) < 60
    assert {f"{name}_mask.png" for name in known} == {str(p.relative_to(out)) for p in out.rglob("*_mask.png")}
    spread.first = 0
    assert segment_inputs([source], out, spread, SegmentSettings(PNG))["done"] == 60
    assert contents(out) == contents(tmp_path / "whole")


SIZE = 240, 320


def screens(frames: int) -> NDArray[np.uint8]:
    """Draw a scanner's screen whose image is at another place from the middle on: a lesion, another one in one frame
    alone, and frames that are unlike the others.
    """
    chance = np.random.default_rng(0)
    pixels = np.full((frames, *SIZE), 25, np.uint8)
    for number, frame in enumerate(pixels):
        top, left = (60, 50) if number < frames // 2 else (70, 30)
        frame[top : top + 150, left : left + 200] = chance.integers(30, 120, (150, 200))
        frame[100 : 130 + number % 5, 90 + number // 2 : 130 + number // 2] = 200
        frame[6:26, 270:300] = 200  # beside the image
        if number == 4:
            frame[180:200, 160:180] = 220
    pixels[7::10, -1, 0] = UNLIKE
    return pixels


def test_frames_of_a_cine_are_spread_and_nothing_of_the_results_changes(
    looking: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr(local, "FRAMES_BEFORE_WORKER", 10)
    whole = screens(24)
    write_cine(tmp_path / "whole.dcm", whole)
    # speckle up to the border tells nothing of the next frame's regions
    write_cine(tmp_path / "plain.dcm", whole[:, 80:200, 60:220])
    for name, kinds in (("whole", ("seg", "png")), ("plain", ("png",))):
        settings = SegmentSettings(kinds)
        alone, several = tmp_path / f"{name}-alone", tmp_path / f"{name}-several"
        first, looking.first = looking.first, 0
        segment_inputs([tmp_path / f"{name}.dcm"], alone, looking, settings)
        for seen in tmp_path.glob("seen-*"):
            seen.unlink()
        looking.first = first
        assert segment_inputs([tmp_path / f"{name}.dcm"], several, looking, settings, executor=TWO)["done"] == 1
        assert len(looking.processes()) == 2
        assert contents(several) == contents(alone)
    assert len(contents(tmp_path / "whole-several")) == 24 + 2
    (row,) = table(tmp_path / "whole-several")
    assert (row["first_frame"], row["last_frame"]) == ("0", "23")
    left_out = ["1 seen in one frame alone left out", "2 of 24 frames do not look like a breast and are left out"]
    assert row["note"] == "; ".join(left_out)


def test_files_go_on_beside_a_cine(spread: Any, bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "FRAMES_BEFORE_WORKER", 20)
    monkeypatch.chdir(tmp_path)
    source = Path("in")
    draw_many(source, 12)
    for name in ("0/00a", "1/b", "2/c"):
        write_cine(
            source / f"{name}.dcm", np.where(screens(24) == 0, 1, screens(24)).astype(np.uint8)[:, 30:100, 30:120]
        )
    settings = SegmentSettings(PNG)
    segment_inputs([source], Path("alone"), bright, settings)
    assert segment_inputs([source], Path("several"), spread, settings, executor=LocalExecutor(3))["done"] == 15
    assert contents(Path("several")) == contents(Path("alone"))
    assert len(spread.processes()) > 1


def test_a_short_cine_starts_no_process(spread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "Worker", None)
    spread.first = 0
    write_cine(tmp_path / "a.dcm", screens(local.FRAMES_BEFORE_WORKER - 1)[:, :40, :40])
    assert (
        segment_inputs([tmp_path / "a.dcm"], tmp_path / "out", spread, SegmentSettings(PNG), executor=TWO)["done"] == 1
    )


def test_a_file_has_a_process_before_frames_do(spread: Any, tmp_path: Path) -> None:
    segment = SegmentFile(spread, tmp_path, SegmentSettings(PNG), datetime.now(timezone.utc))
    taken, frame = [], frame_of(np.zeros((4, 4), np.uint8))
    with local._Workers(segment, 1, 0) as workers:
        other = Worker(segment)
        file = threading.Thread(target=lambda: taken.append(workers.take()))
        file.start()
        wait_until(lambda: workers._waiting)
        workers._frames_here = 0  # all are busy
        begun = workers.submit(segment.find, frame)
        workers.give(other)
        file.join()
        assert (taken, begun.done()) == ([other], False)
        other.is_ready()
        workers.give(other)
        assert begun.result().area == 0
        other.close()


def test_interrupted_a_cine_is_finished_and_recorded(
    spread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "FRAMES_BEFORE_WORKER", 20)
    write_cine(tmp_path / "in" / "a.dcm", screens(40)[:, 80:200, 60:220])
    started: list[Worker] = []
    monkeypatch.setattr(
        local, "Worker", lambda *args, **options: started.append(Worker(*args, **options)) or started[-1]
    )
    with interrupted(spread, lambda: len(spread.processes()) > 1):
        segment_inputs([tmp_path / "in"], tmp_path / "out", spread, SegmentSettings(PNG), executor=TWO)
    assert [row["state"] for row in table(tmp_path / "out")] == ["done"]
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 40
    assert [worker._popen.poll() is None for worker in started] == [False]
