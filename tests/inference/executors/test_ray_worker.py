"""What a worker of Ray tells, and what the executor makes of it, in one process and without a Ray."""

from __future__ import annotations

import errno
import os
import pickle
import platform
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bus_monai.bundle.models import model_key
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors import ray as ray_engine
from bus_monai.inference.executors.ray import RayExecutor, RayWorker, Recipe, Turnstile
from bus_monai.inference.manifest import MANIFEST_FILE
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.inference.write_outputs import OutputError
from tests.inference.segment_files import contents, draw, table
from tests.user_errors import check_names, raises_user_error

ray = pytest.importorskip("ray")
SETTINGS = SegmentSettings(("png",))


class Handle:
    """A turnstile as an actor's handle shows it."""

    def __init__(self) -> None:
        self.turnstile = Turnstile()

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self.turnstile, name))


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray, "kill", lambda handle: None)


def recipe(predictor: Any, out: Path, key: str = "") -> Recipe:
    segment = SegmentFile(predictor, out, SegmentSettings(("png",)), datetime.now(timezone.utc))
    return Recipe(pickle.dumps(segment), out, key or model_key(predictor.model), Path.cwd())


def told(worker: RayWorker, *paths: Path) -> list[Any]:
    batch = [pickle.dumps((number, path, path.stem)) for number, path in enumerate(paths)]
    found = [pickle.loads(text) for text in worker({"file": batch})["found"]]
    assert [number for number, _ in found] == list(range(len(paths)))
    return [what for _, what in found]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST_FILE).touch()
    return tmp_path / "out"


def test_a_file_of_which_three_workers_died_has_failed(bright: Any, tmp_path: Path, out: Path) -> None:
    handle, path = Handle(), draw(tmp_path / "a.png", (2, 2, 8, 8))
    for tries in (1, 2, 3):
        assert handle.turnstile.enter(0) == tries
    for _ in "ab":  # when its batch is done again, it is not tried again
        (failed,) = told(RayWorker(recipe(bright, out), handle), path)
        assert (failed.state, failed.reason) == ("failed", f"'{path}' ended the process that segmented it 3 times.")


def test_after_the_close_only_what_was_begun_enters(bright: Any, tmp_path: Path, out: Path) -> None:
    handle, paths = Handle(), [draw(tmp_path / f"{name}.png") for name in "ab"]
    handle.turnstile.enter(1)
    assert handle.turnstile.close() == {1}
    first, second = told(RayWorker(recipe(bright, out), handle), *paths)
    assert first is None
    assert second.outputs == ("b_mask.png",)
    assert sorted(contents(out)) == ["b_mask.png"]


def test_a_worker_that_is_not_the_same_says_so(bright: Any, tmp_path: Path, out: Path) -> None:
    here, path = f"the worker on '{platform.node()}'", draw(tmp_path / "a.png")
    (error,) = told(RayWorker(recipe(bright, tmp_path / "gone"), Handle()), path)
    assert str(error) == (
        f"'{tmp_path}/gone' is not there for {here}: give an --out on storage that all machines see at the same path."
    )
    (error,) = told(RayWorker(recipe(bright, out, "another"), Handle()), path)
    assert str(error) == f"The model or the version of bus_monai is another for {here}: install the same everywhere."
    assert contents(out) == {}
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_ends_a_worker(bright: Any, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    worker = RayWorker(recipe(bright, out), Handle())
    monkeypatch.setattr("bus_monai.io.atomic.os.fsync", fsync)
    first, second = told(worker, *(draw(tmp_path / f"{name}.png") for name in "ab"))
    assert isinstance(first, OutputError)
    assert str(second) == str(first)
    check_names(first, os.strerror(errno.ENOSPC), "space", path=out, key="--out")


class InOneProcess(RayExecutor):
    """Batches of two, handed to one worker as they are asked for."""

    def _dataset(self, segment: Any, todo: Any, turnstile: Any) -> Any:
        files = [pickle.dumps((number, task.path, task.entry.name)) for number, task in enumerate(todo)]
        worker = RayWorker(recipe(segment.predictor, segment.out), turnstile)

        def iter_batches(**options: Any) -> Iterator[Any]:
            for first in range(0, len(files), 2):
                yield worker({"file": files[first : first + 2]})

        return SimpleNamespace(iter_batches=iter_batches)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    monkeypatch.setattr(ray_engine, "ray_session", lambda *options: nullcontext())
    monkeypatch.setattr(ray_engine, "_start_turnstile", Handle)
    return InOneProcess()


def test_interrupted_what_was_begun_is_recorded(
    bright: Any, tmp_path: Path, executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(30):
        draw(source / f"{number:02d}.png", (2, 2, 8, 9 + number))
    calls = [0]
    predict = type(bright).predict

    def interrupt(self: Any, pixels: Any) -> Any:
        calls[0] += 1
        if calls[0] == 7:
            signal.raise_signal(signal.SIGINT)
        return predict(self, pixels)

    monkeypatch.setattr(type(bright), "predict", interrupt)
    bright.seconds = 0.02
    with pytest.raises(KeyboardInterrupt):
        segment_inputs([source], out, bright, SETTINGS, executor=executor)
    known = {f"{row['output']}_mask.png" for row in table(out)}
    assert known == contents(out).keys() - {"results.csv"}
    assert 7 <= len(known) < 30
    assert segment_inputs([source], out, bright, SETTINGS, executor=executor)["done"] == 30
    segment_inputs([source], tmp_path / "local", bright, SETTINGS)
    assert contents(out) == contents(tmp_path / "local")


def test_a_cluster_that_breaks_down_is_one_sentence(
    bright: Any, tmp_path: Path, executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, batch: Any) -> Any:
        raise RuntimeError("Traceback\nThe actor died.")

    draw(tmp_path / "in" / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(RayWorker, "__call__", fail)
        with raises_user_error("The actor died"):
            segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS, executor=executor)
    assert segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS, executor=executor)["done"] == 1
