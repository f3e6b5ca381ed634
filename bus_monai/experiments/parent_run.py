"""The MLflow run above the trainings of an experiment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunStatus
from monai.utils.misc import path_to_sqlite_uri

from bus_monai.handlers.no_telemetry import stop_telemetry

STORE = "MLFLOW_TRACKING_URI"
FILE = "mlflow_run"
"""Holds the identity of the parent in the experiment's folder, so that a second start goes on with it."""


class ParentRun:
    """A run whose children are single trainings.

    All of them go to one store: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the experiment's folder, which the
    variable names as long as the ``with`` block lasts.

    Args:
        folder: of the experiment.
        experiment: name of the MLflow experiment.
        name: of the run.
    """

    def __init__(self, folder: Path, *, experiment: str, name: str) -> None:
        stop_telemetry()
        self._before = os.environ.get(STORE)
        self.store = self._before or path_to_sqlite_uri(str(folder / "mlflow.db"))
        self.client = MlflowClient(self.store)
        known = folder / FILE
        if known.is_file():
            self.run: Run = self.client.get_run(known.read_text(encoding="utf-8").strip())
            return
        found = self.client.get_experiment_by_name(experiment)
        # a local store would put artifacts below the working folder
        place = folder.resolve().as_uri() + "/mlruns" if self.store.startswith("sqlite:") else None
        id = found.experiment_id if found else self.client.create_experiment(experiment, artifact_location=place)
        self.run = self.client.create_run(id, run_name=name)
        known.write_text(self.id + "\n", encoding="utf-8")

    def __enter__(self) -> ParentRun:
        os.environ[STORE] = self.store
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is None:
            del os.environ[STORE]

    @property
    def id(self) -> str:
        """Identity of the run."""
        run_id: str = self.run.info.run_id
        return run_id

    def complete(self, metrics: Mapping[str, float], *files: Path) -> None:
        """Log what the experiment as a whole came to, and end the run."""
        self.client.log_batch(self.id, metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()])
        for file in files:
            self.client.log_artifact(self.id, str(file), "results")
        self.client.set_terminated(self.id, RunStatus.to_string(RunStatus.FINISHED))
