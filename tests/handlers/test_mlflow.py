"""Runs in MLflow: each its own, failed ones marked, nothing of a patient's path."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import mlflow
import pytest
from ignite.engine import Engine, Events
from mlflow.entities import Run
from mlflow.telemetry import get_telemetry_client, set_telemetry_client, utils

from bus_monai.handlers.mlflow import (
    TELEMETRY_VARIABLE,
    MLflowTracker,
    ParentRun,
    check_server,
    flatten,
    quiet_mlflow,
)
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
