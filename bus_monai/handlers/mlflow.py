"""Log trainings and evaluations to MLflow."""

from __future__ import annotations

import getpass
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import requests
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)
from monai.config.deviceconfig import get_config_values
from monai.handlers.mlflow_handler import MLFlowHandler
from monai.utils.misc import path_to_sqlite_uri

from bus_monai import __version__
from bus_monai.bundle.declared import check_plain
from bus_monai.bundle.models import BUNDLE_TAG
from bus_monai.bundle.registry import TRAINED_FILE, input_modality, list_bundles, output_format
from bus_monai.data.datalist import SECTIONS
from bus_monai.errors import UserError, first_line
from bus_monai.handlers.checkpoint import TrainingCheckpoint
from bus_monai.inference.mlflow_model import save_mlflow_model
from bus_monai.report.paper import save_figure

TELEMETRY_VARIABLE = "MLFLOW_DISABLE_TELEMETRY"
TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"
RUN_ID_FILE = "mlflow_run"
"""Holds the identity of the parent in the experiment's folder, so that a second start goes on with it."""
RUN_KEY = "mlflow_run_id"
EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")
"""Without it MLflow's page takes the runs for those of a language model and hides the curves."""
MAX_PARAMETER_LENGTH = 500
"""MLflow's older servers refuse longer values; the whole config is an artifact besides."""
MAX_DIGEST_LENGTH = 36
"""Of a data set, in MLflow; the whole digest is in its profile."""
MODEL_NAME = "model"
ANSWER_SECONDS = 10


def quiet_mlflow() -> None:
    """Stop what MLflow reports of its use, unless the variable ``MLFLOW_DISABLE_TELEMETRY`` says otherwise.

    What it does is not told line by line either: a training has its own.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ.setdefault(TELEMETRY_VARIABLE, "true")
    # MONAI may have imported MLflow before anybody could set the variable
    set_telemetry_client()


def check_server() -> None:
    """Ask the server that ``MLFLOW_TRACKING_URI`` names for an answer, before a training begins that it would end.

    Any answer will do: what it allows is told when the run begins.

    Raises:
        UserError: there is none.
    """
    store = os.environ.get(TRACKING_URI_VARIABLE, "")
    if store.startswith("http"):
        with reaching(store):
            requests.get(store, timeout=ANSWER_SECONDS)


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
        quiet_mlflow()
        self._before = os.environ.get(TRACKING_URI_VARIABLE)
        self.store = self._before or path_to_sqlite_uri(str(folder / "mlflow.db"))
        self.client = MlflowClient(self.store)
        check_server()
        with reaching(self.store):
            self._begin(folder, experiment, name)

    def _begin(self, folder: Path, experiment: str, name: str) -> None:
        known = folder / RUN_ID_FILE
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
        os.environ[TRACKING_URI_VARIABLE] = self.store
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is None:
            del os.environ[TRACKING_URI_VARIABLE]

    @property
    def id(self) -> str:
        """Identity of the run, which is a setting of its children, and may come from a folder or server of others."""
        run_id: str = self.run.info.run_id
        check_plain(run_id, "The store of MLflow", "parent_run")
        return run_id

    def complete(self, metrics: Mapping[str, float], *files: Path) -> None:
        """Log what the experiment as a whole came to, and end the run."""
        with reaching(self.store):
            self.client.log_batch(self.id, metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()])
            for file in files:
                self.client.log_artifact(self.id, str(file), "results")
            self.client.set_terminated(self.id, RunStatus.to_string(RunStatus.FINISHED))


@contextmanager
def reaching(store: str) -> Iterator[None]:
    """Turn what MLflow says of a server that is down, or that refuses, into a sentence.

    Args:
        store: where MLflow's store is.

    Raises:
        UserError: the block raised such an error, which is the cause of this one.
    """
    try:
        yield
    except (MlflowException, requests.RequestException, ConnectionError, TimeoutError) as error:
        if not store.startswith("http"):
            raise
        raise UserError(
            f"MLflow at '{store}' cannot be reached, or refuses ({first_line(error)}): start it, or unset "
            f"{TRACKING_URI_VARIABLE}.",
            key=TRACKING_URI_VARIABLE,
        ) from error


class MLflowTracker(MLFlowHandler):
    """Record a run of an engine: config, data, environment, metrics per epoch, files at the end.

    MONAI's handler picks up any unfinished run of the same name; this one starts a run of its own each time, and goes
    on with an earlier one only when the checkpoint that training resumes from names it.

    Args:
        tracking_uri: where MLflow's store is, ``sqlite:///PATH`` or a server; ``MLFLOW_TRACKING_URI`` takes precedence.
        experiment_name: experiment of the run.
        run_name: name of the run; ``None`` makes one of the experiment and the time.
        parent_run: identity of the run that this one is a part of, such as that of a cross-validation.
        config: the whole config, logged as ``config/config.json``; its ``settings`` are the parameters.
        config_files: the files the config came from, logged below ``config/``.
        data: what the run saw, logged as ``data/datalist.json``, and as the data set of the run.
        grid: height and width on which scores are computed, or ``source``: goes after their names, as in
            ``val_dice_at_128x128``, since those of another grid are not comparable.
        evaluator: its metrics are logged beside the engine's, with the prefix ``val_``.
        checkpoint: holds the identity of the run for resuming, and the weights, which become a model of MLflow where
            they segment whole ultrasound images.
        artifacts: files logged when the engine completes, those that exist by then.
        enabled: ``False`` on all processes but the first.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        experiment_name: str,
        run_name: str | None = None,
        parent_run: str | None = None,
        config: Mapping[str, Any] | None = None,
        config_files: Sequence[str | Path] = (),
        data: Mapping[str, Any] | None = None,
        grid: Sequence[int] | str | None = None,
        evaluator: Engine | None = None,
        checkpoint: TrainingCheckpoint | None = None,
        artifacts: Sequence[str | Path] = (),
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled
        if not enabled:
            return
        quiet_mlflow()
        self._tracking_uri = tracking_uri
        super().__init__(
            tracking_uri=tracking_uri,
            iteration_log=False,
            experiment_name=experiment_name,
            run_name=run_name or f"{experiment_name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            artifacts=[Path(path) for path in artifacts],
        )
        self.parent_run = parent_run
        self.config = dict(config or {})
        self.config_files = [Path(path) for path in config_files]
        self.data = dict(data or {})
        name = grid if grid is None or isinstance(grid, str) else "x".join(map(str, grid))
        self.grid = f"_at_{name}" if name else ""
        self.evaluator = evaluator
        self.checkpoint = checkpoint

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator, after the handlers that compute metrics."""
        if self.enabled:
            super().attach(engine)
            engine.add_event_handler(Events.COMPLETED, self.close)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    @property
    def run_id(self) -> str:
        """Identity of the current run."""
        run_id: str = self.cur_run.info.run_id
        return run_id

    def start(self, engine: Engine) -> None:
        """Begin a run of its own, or go on with the resumed one.

        Raises:
            UserError: the server cannot be reached.
        """
        with reaching(self.store):
            self._begin()

    @property
    def store(self) -> str:
        """Where MLflow's store is."""
        return os.environ.get(TRACKING_URI_VARIABLE) or self._tracking_uri

    def _begin(self) -> None:
        self._set_experiment()
        resumed = self.checkpoint.extra.get(RUN_KEY) if self.checkpoint and self.checkpoint.resume else None
        if resumed is not None:
            self.client.update_run(resumed, status=RunStatus.to_string(RunStatus.RUNNING))
            self.cur_run = self.client.get_run(resumed)
            return
        self.client.set_experiment_tag(self.experiment.experiment_id, *EXPERIMENT_KIND)
        tags = {MLFLOW_USER: getpass.getuser(), MLFLOW_SOURCE_NAME: "bus_monai", MLFLOW_RUN_NOTE: self._note()}
        if self.parent_run is not None:
            tags[MLFLOW_PARENT_RUN_ID] = self.parent_run
        self.cur_run = self.client.create_run(self.experiment.experiment_id, run_name=self.run_name, tags=tags)
        if self.checkpoint is not None:
            self.checkpoint.extra[RUN_KEY] = self.run_id
        self._log_inputs()

    def _note(self) -> str:
        """Say in a few lines what a reader of the page wants to know first."""
        counts = ", ".join(f"{len(self.data[name])} {name}" for name in SECTIONS if self.data.get(name))
        kind = "SYNTHETIC phantoms" if self.data.get("synthetic") else "images"
        return (
            f"bus_monai {__version__}. Data: {kind} ({counts}).\n\n"
            "Parameters are what a user sets. Artifacts: `config/` is the whole config, `data/` the cases with a "
            "digest of their files, `validation/` images with contours, `results/` what the run left."
        )

    def _log_inputs(self) -> None:
        settings = flatten(self.config.get("settings", {}))
        parameters = [Param(key, str(value)[:MAX_PARAMETER_LENGTH]) for key, value in sorted(settings.items())]
        self.client.log_batch(self.run_id, params=parameters)
        self.client.log_dict(self.run_id, self.config, "config/config.json")
        for path in self.config_files:
            self.client.log_artifact(self.run_id, path, "config")
        if self.data:
            self.client.log_dict(self.run_id, self.data, "data/datalist.json")
            self.client.log_inputs(self.run_id, [self._dataset()])
        self.client.log_text(self.run_id, environment(), "environment.txt")

    def _dataset(self) -> DatasetInput:
        """Return the data set as MLflow knows it: by the name of its folder, and nothing of where that is."""
        counts = {name: len(self.data[name]) for name in SECTIONS if self.data.get(name)}
        digest = self.data.get("digest", "")
        name = "phantoms" if self.data.get("synthetic") else Path(str(self.config.get("dataset_dir", "images"))).name
        dataset = Dataset(
            name=name,
            digest=digest[:MAX_DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"folder": name}),
            profile=json.dumps({"sha256": digest, **counts}),
        )
        context = "evaluation" if self.checkpoint is None else "training"
        return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)])

    def epoch_completed(self, engine: Engine) -> None:
        """Log the metrics of the epoch."""
        # of an engine without an evaluator they are scores, and of a trainer losses, which have no grid
        own = self.grid if self.evaluator is None else ""
        metrics = {f"{name}{own}": value for name, value in engine.state.metrics.items()}
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:
            metrics |= {f"val_{name}{self.grid}": value for name, value in self.evaluator.state.metrics.items()}
        now = int(time.time() * 1000)
        values = [Metric(name, float(value), now, engine.state.epoch) for name, value in metrics.items()]
        with reaching(self.store):
            self.client.log_batch(self.run_id, metrics=values)

    def log_validation(self, figure: Figure, epoch: int) -> None:
        """Log a figure of an epoch's validation as artifacts, a PNG and an SVG."""
        with tempfile.TemporaryDirectory() as folder, reaching(self.store):
            save_figure(figure, Path(folder) / f"epoch_{epoch:04d}.png")
            self.client.log_artifacts(self.run_id, folder, "validation")

    def complete(self) -> None:
        """Log the files that are there, and the model."""
        with reaching(self.store):
            for path in self.artifacts:
                if path.is_file():
                    self.client.log_artifact(self.run_id, path, "results")
            if self.checkpoint is not None:
                self._log_model(self.checkpoint)

    def _log_model(self, checkpoint: TrainingCheckpoint) -> None:
        bundle, weights = Path(str(self.config.get("bundle_root"))), checkpoint.folder / TRAINED_FILE
        # what loads it knows the bundles of the package alone
        known = bundle.resolve() in [info.root.resolve() for info in list_bundles()]
        if not (known and weights.is_file() and output_format(bundle) == "segmentation"):
            return
        if input_modality(bundle) != "US":
            return
        experiment = self.experiment.experiment_id
        model = self.client.create_logged_model(
            experiment, MODEL_NAME, source_run_id=self.run_id, tags={BUNDLE_TAG: bundle.name}
        )
        with tempfile.TemporaryDirectory() as folder:
            save_mlflow_model(bundle, weights, Path(folder) / MODEL_NAME)
            self.client.log_model_artifacts(model.model_id, str(Path(folder) / MODEL_NAME))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, checkpoint.best.epoch)])

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.cur_run is not None:
            # that the server is gone must not hide the error that is told
            with suppress(MlflowException, requests.RequestException, ConnectionError):
                self.client.set_terminated(self.run_id, RunStatus.to_string(RunStatus.FAILED))
        raise error


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one level, keys joined by ``.``; MLflow's names take no ``#``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def environment() -> str:
    """Describe Python, the system and the installed packages, a line each."""
    system = [f"{key}: {value}" for key, value in get_config_values().items()]
    return "\n".join([*system, "", *_packages(), ""])


@cache
def _packages() -> list[str]:
    # a process that trains many models reads the metadata of two hundred packages once
    return sorted({f"{dist.metadata['Name']}=={dist.version}" for dist in distributions()}, key=str.lower)
