"""The batch job in workers of Ray: results as in one process, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.executors import ray as ray_engine
from bus_monai.inference.executors.ray import RayExecutor
from bus_monai.inference.manifest import MANIFEST_FILE
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.executors.interrupted import interrupted
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S, wait_until

ray = pytest.importorskip("ray")
KINDS = ("seg", "sr", *PNG)
WORKERS = 2
look_for_node = import_module("ray._private.services").get_node


class Deadly(BrightPredictor):
    """Ends its process at an all white image, as often as the file named like its height says."""

    def __init__(self, weights: Path, seconds: float = 0) -> None:
        super().__init__(weights, seconds)
        self.folder = weights.parent

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        times = self.folder / str(len(pixels))
        if pixels.min() == 1 and (left := int(times.read_text())):
            times.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(pixels)


def node_when_there(*place: str) -> Any:
    """Wait until Ray has started, for which it gives half a minute itself."""
    found: list[Any] = []

    def look_again() -> bool:
        with suppress(RuntimeError):
            found.append(look_for_node(*place))
        return bool(found)

    wait_until(look_again)
    return found[0]


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    """One Ray for all tests, whose workers find the modules of the package and of the tests."""
    from bus_monai.inference.executors.ray import ray_session

    here = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(here), str(here.parents[1]))))
        patch.setenv("RAY_worker_niceness", "0")  # else they wait for the tests that run beside
        # Ray takes a machine that is busy for one that is broken
        for name in ("gcs_server_port_wait_time_s", "worker_register_timeout_seconds"):
            patch.setenv(f"RAY_{name}", str(PATIENCE_S))
        for name in ("agent_register_timeout_ms", "health_check_timeout_ms"):
            patch.setenv(f"RAY_{name}", str(1000 * PATIENCE_S))
        patch.setattr("ray._private.services.get_node", node_when_there)
        with ray_session("local", WORKERS):
            yield RayExecutor(workers=WORKERS)


@pytest.fixture
def alone(executor: RayExecutor) -> RayExecutor:
    """With one worker, since to start another takes seconds."""
    return RayExecutor(workers=1)


def draw_many(source: Path, files: int) -> None:
    for number in range(files):
        draw(source / f"{number % 3}" / f"{number:02d}.png", (2, 2, 8 + number % 9, 9 + number % 7))


def test_results_are_those_of_one_process(
    executor: RayExecutor,
    bright: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.chdir(tmp_path)
    source = Path("in")  # relative, which a worker must not read from where it was started
    draw_many(source, 9)
    whole = ultrasound(source / "whole.dcm", PatientName="PLANTED^NAME", PatientID="PLANTED-7")
    (source / "truncated.dcm").write_bytes(whole.read_bytes()[:9000])
    (source / "empty.png").write_bytes(b"")
    ultrasound(source / "ct.dcm", Modality="CT", PatientName="PLANTED^NAME")
    draw(source / "a\udcff.png", (2, 2, 8, 8))
    settings = SegmentSettings(KINDS)
    local = segment_inputs([source], Path("local"), bright, settings)
    capfd.readouterr()
    spread = segment_inputs([source, source / "whole.dcm"], Path("ray"), bright, settings, executor=executor)
    assert spread == local
    assert (spread["done"], spread["failed"], spread["skipped"]) == (11, 2, 1)
    assert contents(Path("ray")) == contents(Path("local"))
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(line.startswith("segmenting: ") for line in printed.err.replace("\r", "\n").splitlines() if line)
    told = [(Path(out) / "run.json").read_text() for out in ("ray", "local")]
    assert [text.count(f'"engine": "{name}"') for text, name in zip(told, ("ray", "local"), strict=True)] == [1, 1]
    node = import_module("ray._private.worker")._global_node
    for kept in (*Path(node.get_session_dir_path()).rglob("*"), Path("ray", MANIFEST_FILE), Path("ray", "results.csv")):
        if kept.is_file():
            assert b"PLANTED" not in kept.read_bytes(), kept


def test_a_worker_that_dies_loses_nothing(alone: RayExecutor, tmp_path: Path) -> None:
    """One file ends its first worker alone, another every worker."""
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 8)
    predictor: Any = Deadly(tmp_path / "weights")
    once, always = source / "once.png", source / "always.png"
    for path, height in ((once, 24), (always, 26)):
        Image.fromarray(np.full((height, 32), 255, np.uint8)).save(path)
        (tmp_path / str(height)).write_text("0")
    segment_inputs([source], tmp_path / "undisturbed", predictor, SegmentSettings(PNG))
    (tmp_path / "24").write_text("1")
    (tmp_path / "26").write_text("99")
    totals = segment_inputs([source], out, predictor, SegmentSettings(PNG), executor=alone)
    assert (totals["done"], totals["failed"]) == (9, 1)
    assert [(tmp_path / name).read_text() for name in ("24", "26")] == ["0", "96"]
    reasons = {row["file"]: row["reason"] for row in table(out) if row["reason"]}
    assert reasons == {str(always): f"'{always}' ended the process that segmented it 3 times."}
    (tmp_path / "26").write_text("0")
    # a file that failed is tried again
    assert segment_inputs([source], out, predictor, SegmentSettings(PNG))["done"] == 10
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_interrupted_what_was_begun_is_recorded(alone: RayExecutor, bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 60)
    segment_inputs([source], tmp_path / "whole", bright, SegmentSettings(PNG))
    bright.seconds = 0.1
    with interrupted(bright, lambda: list(out.rglob("*_mask.png")), image=2):
        segment_inputs([source], out, bright, SegmentSettings(PNG), executor=alone)
    known = [row["output"] for row in table(out)]
    assert 0 < len(known) < 60
    assert {f"{name}_mask.png" for name in known} == {str(p.relative_to(out)) for p in out.rglob("*_mask.png")}
    bright.seconds = 0
    # what Ray began, the local executor ends
    assert segment_inputs([source], out, bright, SegmentSettings(PNG))["done"] == 60
    assert contents(out) == contents(tmp_path / "whole")


def test_what_ends_the_job_is_one_sentence(
    alone: RayExecutor, bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 4)
    with monkeypatch.context() as patch:
        patch.setattr(ray_engine, "model_key", lambda model: "that of another version")
        with raises_user_error("bus_monai", "worker"):
            segment_inputs([source], out, bright, SegmentSettings(PNG), executor=alone)
    assert table(out) == []
    assert segment_inputs([source], out, bright, SegmentSettings(PNG))["done"] == 4
    # with nothing left no worker is started
    monkeypatch.setattr(ray_engine, "ray_session", None)
    assert segment_inputs([source], out, bright, SegmentSettings(PNG), executor=alone)["done"] == 4
