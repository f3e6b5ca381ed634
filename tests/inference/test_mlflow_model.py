"""Segmenters as models of MLflow, kept by a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from torch import nn

from bus_monai.bundle.models import find_model, parse_models, weights_hash
from bus_monai.bundle.registry import find_bundle
from bus_monai.handlers.checkpoint import TrainingCheckpoint
from bus_monai.inference.mlflow_model import _load_pyfunc
from bus_monai.inference.predictor import Predictor
from tests.free_port import free_port
from tests.handlers.test_mlflow import engine, tracker
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S, wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real server, which keeps runs and artifacts."""
    port = free_port()
    # from the tests' template, since the server takes seconds to make it
    mlflow.MlflowClient(f"sqlite:///{tmp_path / 's.db'}").search_experiments()
    words = ["server", "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path / 's.db'}"]
    words += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "mlflow", *words], stdout=log, stderr=log, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"

    def is_healthy() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return requests.get(f"{url}/health", timeout=PATIENCE_S).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_healthy, (tmp_path / "log").read_text)
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
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = 0.5, 1
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
