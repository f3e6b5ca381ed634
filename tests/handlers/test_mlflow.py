"""Runs in MLflow: each its own, failed ones marked, nothing of a patient's path."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from mlflow.entities import Run
from mlflow.telemetry import get_telemetry_client, set_telemetry_client, utils
from torch import nn

from bus_monai.bundle.models import find_model, parse_models, weights_hash
from bus_monai.bundle.registry import find_bundle
from bus_monai.handlers.checkpoint import TrainingCheckpoint
from bus_monai.handlers.mlflow import (
    TELEMETRY_VARIABLE,
    MLflowTracker,
    ParentRun,
    check_server,
    flatten,
    quiet_mlflow,
)
from bus_monai.inference.mlflow_model import _load_pyfunc
from bus_monai.inference.predictor import Predictor
from tests.user_errors import raises_user_error


def tracker(folder: Path, **options) -> MLflowTracker:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return MLflowTracker(
        tracking_uri=uri,
        experiment_name="e",
        run_name="same name",
        **({"config": {"settings": {"a": {"b": 1}}, "network_def": {"c": 2}}} | options),
    )


def engine(*trackers: MLflowTracker, fail: bool = False) -> Engine:
    def step(_engine: Engine, _batch: int) -> float:
        if fail:
            raise RuntimeError("broken")
        return 1.0

    trainer = Engine(step)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(g_loss=1 / e.state.epoch))
    for one in trackers:
        one.attach(trainer)
    return trainer


def runs(folder: Path) -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_two_runs_of_one_name_never_merge_even_side_by_side(tmp_path: Path) -> None:
    """The first has not ended when the second begins."""
    first, second = tracker(tmp_path), tracker(tmp_path)
    engine(first, second).run([1], max_epochs=2)
    found = runs(tmp_path)
    assert len(found) == 2
    assert {run.info.status for run in found} == {"FINISHED"}
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for run in found:
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "g_loss")] == [(1, 1.0), (2, 0.5)]


def test_a_run_that_fails_is_marked_and_the_error_goes_on(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        engine(tracker(tmp_path), fail=True).run([1])
    assert [run.info.status for run in runs(tmp_path)] == ["FAILED"]


def test_what_a_reader_of_the_page_needs(tmp_path: Path) -> None:
    data = {"digest": "d" * 64, "synthetic": True, "training": [{"id": "x"}], "test": [{"id": "y"}]}
    engine(tracker(tmp_path, data=data)).run([1])
    (run,) = runs(tmp_path)
    assert run.data.params == {"a.b": "1"}
    (data_set,) = run.inputs.dataset_inputs
    assert (data_set.dataset.name, data_set.dataset.digest) == ("phantoms", "d" * 36)
    assert json.loads(data_set.dataset.profile) == {"sha256": "d" * 64, "training": 1, "test": 1}
    assert {tag.key: tag.value for tag in data_set.tags} == {"mlflow.data.context": "evaluation"}
    assert "SYNTHETIC phantoms (1 training, 1 test)" in run.data.tags["mlflow.note.content"]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    kind = client.get_experiment(run.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"
    environment = Path(client.download_artifacts(run.info.run_id, "environment.txt", str(tmp_path))).read_text()
    assert "torch==" in environment


def test_scores_bear_the_name_of_their_grid(tmp_path: Path) -> None:
    evaluator = Engine(lambda *_: None)
    evaluator.state.metrics["dice"] = 0.5
    trainer = engine(tracker(tmp_path, grid=[128, 96], evaluator=evaluator))
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: setattr(evaluator.state, "epoch", e.state.epoch))
    trainer.run([1])
    engine(tracker(tmp_path, grid="source")).run([1])
    assert [set(run.data.metrics) for run in runs(tmp_path)] == [
        {"g_loss_at_source"},
        {"g_loss", "val_dice_at_128x96"},
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real server, which keeps runs and artifacts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # from the tests' template, since the server takes seconds to make it
    mlflow.MlflowClient(f"sqlite:///{tmp_path / 's.db'}").search_experiments()
    words = ["server", "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path / 's.db'}"]
    words += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "mlflow", *words], stdout=log, stderr=log, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 400
        while True:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            with suppress(requests.ConnectionError):
                requests.get(f"{url}/health", timeout=5).raise_for_status()
                break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def test_a_server_keeps_runs_figures_and_a_model_that_pyfunc_loads(
    server: str, tmp_path: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "cache"))
    evaluator = Engine(lambda *_: None)
    evaluator.state.best_metric_epoch = 1
    checkpoint = TrainingCheckpoint(folder=small_weights.parent, evaluator=evaluator, network=nn.Identity())
    bundle = find_bundle("baseline")
    one = tracker(tmp_path, config={"bundle_root": str(bundle), "settings": {"lr": 0.1}}, checkpoint=checkpoint)
    trainer = engine(one)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: one.log_validation(Figure(), 1))
    trainer.run([1])

    client = mlflow.MlflowClient(server)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    figures = [item.path for item in client.list_artifacts(run.info.run_id, "validation")]
    assert figures == ["validation/epoch_0001.png", "validation/epoch_0001.svg"]
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.source_run_id, model.status.value) == (run.info.run_id, "READY")
    mlflow.set_tracking_uri(server)
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, -1, -1)
    images = loaded.input_example
    assert images.shape == (1, 64, 64)
    expected = Predictor.from_bundle("baseline", small_weights, "torch", precision="fp32").predict(images[0])
    np.testing.assert_array_equal(loaded.predict(images), expected[None])
    assert 0 < (expected > 0.5).mean() < 0.5

    # nothing of it is code
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=str(tmp_path / "model")))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"data/baseline/model.pt", "data/baseline/settings.json", "MLmodel", "input_example.json"} <= files
    assert not [name for name in files if name.endswith((".py", ".pkl"))]
    other = folder / "data" / "elsewhere"
    (folder / "data" / "baseline").rename(other)
    with raises_user_error("baseline"):
        _load_pyfunc(str(other))

    mlflow.register_model(f"models:/{model.model_id}", "registered")
    (back,) = parse_models(["models:/registered/1"])
    assert (back.bundle, weights_hash(back)) == (bundle, weights_hash(find_model("baseline", str(small_weights))))


def test_a_server_that_is_down_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for begin in (check_server, lambda: ParentRun(tmp_path, experiment="e", name="n")):
            with raises_user_error(key="MLFLOW_TRACKING_URI"):
                begin()


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    engine(tracker(tmp_path, enabled=False)).run([1])
    assert list(tmp_path.iterdir()) == []


def test_flatten_joins_keys_with_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


def test_reports_are_off_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "_IS_IN_CI_ENV_OR_TESTING", False)
    monkeypatch.setattr(utils, "_IS_MLFLOW_DEV_VERSION", False)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.setenv(TELEMETRY_VARIABLE, "false")
    quiet_mlflow()
    assert get_telemetry_client() is not None
    monkeypatch.delenv(TELEMETRY_VARIABLE)
    quiet_mlflow()
    assert get_telemetry_client() is None
    monkeypatch.undo()
    set_telemetry_client()
