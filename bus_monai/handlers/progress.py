"""Handlers of a training's progress: means of each epoch, ``history.csv``, and one line per epoch."""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar
from monai.utils.enums import AdversarialKeys
from monai.utils.enums import CommonKeys as Keys

from bus_monai.bundle.registry import EVALUATE_CONFIG, TRAINED_FILE, list_bundles, output_format
from bus_monai.errors import UserError
from bus_monai.handlers.checkpoint import HISTORY_KEY, TrainingCheckpoint
from bus_monai.io.atomic import cache_folder, write_table
from bus_monai.report.page import HISTORY_FILE
from bus_monai.trainers.adversarial import D_GRADIENT_NORM, G_GRADIENT_NORM
from bus_monai.trainers.base import ResumableTrainer
from bus_monai.trainers.mutual_supervision import REALISM_FAKE, REALISM_REAL, SEMI_LOSS, MutualSupervisionTrainer

METRIC_NAMES = {
    Keys.LOSS: "g_loss",
    AdversarialKeys.RECONSTRUCTION_LOSS: "g_region_loss",
    AdversarialKeys.GENERATOR_LOSS: "g_adversarial_loss",
    AdversarialKeys.DISCRIMINATOR_LOSS: "d_loss",
    "d_accuracy": "d_accuracy",
    "critic_gap": "critic_gap",
    SEMI_LOSS: SEMI_LOSS,
    REALISM_REAL: REALISM_REAL,
    REALISM_FAKE: REALISM_FAKE,
    G_GRADIENT_NORM: G_GRADIENT_NORM,
    D_GRADIENT_NORM: D_GRADIENT_NORM,
}
"""Keys of the trainer's output, and the metrics that they become."""
SHOWN_METRICS = {
    "g_region_loss": "region loss",
    "g_adversarial_loss": "adversarial loss",
    "semi_loss": "semi-supervised loss",
    "trusted_images": "trusted images",
    "d_loss": "critic loss",
    "critic_gap": "critic gap",
    "d_accuracy": "D accuracy",
}
TRUSTED_IMAGES = "trusted_images"


class EpochMeans:
    """Put the mean over an epoch of each loss, and the learning rates, into ``engine.state.metrics``.

    An iteration counts for the values that it has (in a blocked schedule half of them are the generator's), with its
    last step of each network. Means are over the iterations of all processes.

    Raises:
        UserError: at the end of an epoch in which a value was not finite.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[torch.Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of this package."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _reset(self) -> None:
        self._values.clear()

    def _collect(self, engine: Engine) -> None:
        for key, name in METRIC_NAMES.items():
            if key in engine.state.output:
                # kept as tensors: reading a number would wait for the device at every iteration
                self._values.setdefault(name, []).append(engine.state.output[key])

    def _publish(self, engine: Engine) -> None:
        metrics = engine.state.metrics
        for name in METRIC_NAMES.values():
            metrics.pop(name, None)
        for name, values in self._values.items():
            mean = torch.stack(values).double().mean()
            metrics[name] = float(idist.all_reduce(mean) / idist.get_world_size())
            # gradient norms may be infinite where loss scaling looks for its factor
            if name.endswith("loss") and not math.isfinite(metrics[name]):
                raise UserError(
                    f"{name} is not finite in epoch {engine.state.epoch}: lower the learning rate, set max_grad_norm, "
                    "or train without amp."
                )
        for name, side in (("generator", "g"), ("discriminator", "d")):
            learner = getattr(engine, name, None)
            if learner is not None:
                metrics[f"{side}_learning_rate"] = learner.optimizer.param_groups[0]["lr"]


class EpochReport:
    """One line after each epoch with losses and validation, and the last ones of a training: its weights, what is next.

    The time left is that of the current stage, as long as its epochs so far: another stage may have longer ones. On a
    terminal a progress bar stands within each epoch; a log file has the lines alone.

    Args:
        evaluator: validates the network.
        checkpoint: writes the weights.
        bundle_root: folder of the bundle.
        dataset_dir: folder of the data set.
        enabled: ``False`` on all processes but the first.
    """

    def __init__(
        self,
        *,
        evaluator: Engine,
        checkpoint: TrainingCheckpoint,
        bundle_root: str,
        dataset_dir: str,
        enabled: bool = True,
    ) -> None:
        self.evaluator = evaluator
        self.enabled = enabled
        self.checkpoint = checkpoint
        self.weights = checkpoint.folder / TRAINED_FILE
        self.next = next_command(Path(bundle_root), self.weights, Path(dataset_dir))
        # of a stream that is no terminal there is no bar
        self.bar = ProgressBar(persist=False, disable=None)

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after the handlers that compute losses and validate."""
        if self.enabled:
            self.bar.attach(engine)
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _start(self, engine: ResumableTrainer) -> None:
        self._began, self._stage = time.monotonic(), ""
        # now that all others are attached: its lines are the last
        if not engine.has_event_handler(self._end):
            engine.add_event_handler(Events.COMPLETED, self._end)

    def _start_epoch(self, engine: ResumableTrainer) -> None:
        if engine.stage != self._stage:
            self._stage, self._stage_began, self._epochs = engine.stage, time.monotonic(), 0
        self._epochs += 1

    def _report(self, engine: ResumableTrainer) -> None:
        state, validation = engine.state, self.evaluator.state
        parts = [f"{text} {state.metrics[name]:.4g}" for name, text in SHOWN_METRICS.items() if name in state.metrics]
        if validation.epoch == state.epoch:
            best, name = self.checkpoint.best, validation.key_metric_name
            mark = "best" if best.epoch == state.epoch else f"best {best.score:.4f}"
            parts.append(f"validation {name} {validation.metrics[name]:.4f} ({mark})")
        if left := engine.stage_end - state.epoch:
            time_left = duration((time.monotonic() - self._stage_began) / self._epochs * left)
            of_stage = f" of {self._stage}" if engine.stage_end < state.max_epochs else ""
            parts.append(f"about {time_left} to go{of_stage}")
        self.bar.log_message(f"epoch {state.epoch}/{state.max_epochs} ({engine.stage}): {', '.join(parts)}")

    def _end(self) -> None:
        if self.weights.is_file():
            spent = duration(time.monotonic() - self._began)
            self.bar.log_message(f"Done in {spent}. Weights of the best validation: {self.weights}\nNext: {self.next}")


def duration(seconds: float) -> str:
    """Write a time in the unit that says enough of it.

    Example:
        >>> duration(42.4), duration(200), duration(8000)
        ('42 s', '3 min', '2 h 13 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def next_command(bundle: Path, weights: Path, dataset_dir: Path) -> str:
    """Return the command that evaluates what was trained, on the same data.

    Args:
        bundle: folder of the bundle.
        weights: file.
        dataset_dir: of the training; that of the phantoms which are embedded is not named.
    """
    known = bundle.name in {info.name for info in list_bundles() if info.root == bundle.resolve()}
    data = [] if dataset_dir.is_relative_to(cache_folder()) else [str(dataset_dir)]
    if output_format(bundle) == "segmentation":
        words = ["bus-monai", "evaluate", f"{bundle.name if known else bundle}:{weights}"]
        words += [] if known else ["--trust"]
        return shlex.join([*words, *(("--data", *data) if data else ()), "--out", f"{weights.parent}_evaluation"])
    config = bundle / "configs" / EVALUATE_CONFIG
    words = ["python", "-m", "monai.bundle", "run", "evaluating", "--config_file", str(config), "--ckpt_path"]
    return shlex.join([*words, str(weights), *(("--dataset_dir", *data) if data else ())])


class History:
    """Write ``history.csv``: one row per epoch with the trainer's metrics and, prefixed ``val_``, the evaluator's.

    The rows travel with the checkpoint, so that a resumed run has the whole table.

    Args:
        folder: where the file goes.
        evaluator: validates the network.
        checkpoint: keeps the rows.
        enabled: ``False`` on all processes but the first.
    """

    def __init__(
        self, *, folder: str | Path, evaluator: Engine, checkpoint: TrainingCheckpoint, enabled: bool = True
    ) -> None:
        self.path = Path(folder) / HISTORY_FILE
        self.evaluator = evaluator
        self.checkpoint = checkpoint
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after the handlers that compute losses and validate, before the checkpoint."""
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        rows = self.checkpoint.extra.setdefault(HISTORY_KEY, [])
        row: dict[str, float] = {"epoch": engine.state.epoch} | {k: float(v) for k, v in engine.state.metrics.items()}
        if self.evaluator.state.epoch == engine.state.epoch:
            row |= {f"val_{name}": float(value) for name, value in self.evaluator.state.metrics.items()}
        rows.append(row)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_table(self.path, columns, ([row.get(name) for name in columns] for row in rows), known=1)


class TrustedMasks:
    """Put the number of unlabeled images whose mask was trusted into ``engine.state.metrics``, epoch by epoch.

    The count of all processes, in epochs that see unlabeled images; ASSGAN's gamma study (Zhai et
    al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021) draw it. With pixel-wise confidence an image
    counts with its share of trusted pixels.
    """

    def attach(self, engine: MutualSupervisionTrainer) -> None:
        """Attach to the trainer, before the handlers that write metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _publish(self, engine: MutualSupervisionTrainer) -> None:
        engine.state.metrics.pop(TRUSTED_IMAGES, None)
        if engine.uses_unlabeled:
            engine.state.metrics[TRUSTED_IMAGES] = float(idist.all_reduce(engine.state.trusted_images.clone()))
