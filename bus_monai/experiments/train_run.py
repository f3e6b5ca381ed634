"""One training within an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle.scripts import create_workflow

from bus_monai.handlers.training_checkpoint import LATEST
from bus_monai.settings import keep_null
from bus_monai.weights import load_network

OnEpoch = Callable[[int, float], bool]
"""Epoch and validation score to whether to go on."""


def train_run(
    bundle: Path,
    folder: Path,
    overrides: Mapping[str, Any],
    *,
    start: str | None = None,
    on_epoch: OnEpoch | None = None,
) -> float:
    """Train a bundle into ``folder``, from its latest state where there is one.

    Args:
        bundle: folder of the bundle.
        folder: gets weights, history and settings.
        overrides: keys of ``train.json``.
        start: file of weights that the training begins with, else it begins anew.
        on_epoch: called after every validation; ``False`` ends the training.

    Returns:
        The best validation score.

    Raises:
        UserError: ``start`` holds the weights of another network.
    """
    workflow = create_workflow(
        config_file=str(bundle / "configs" / "train.json"),
        run_id="training",
        **keep_null(overrides),
        ckpt_dir=str(folder),
        output_dir=str(folder),
        resume=(folder / LATEST).is_file(),
    )
    if start is not None:
        load_network(workflow.parser.get_parsed_content("network"), start)
    trainer, evaluator = (workflow.parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))

    def report(engine: Engine) -> None:
        score = evaluator.state.metrics.get(evaluator.state.key_metric_name)
        if on_epoch is not None and score is not None and not on_epoch(engine.state.epoch, float(score)):
            engine.terminate()

    trainer.add_event_handler(Events.EPOCH_COMPLETED, report)
    workflow.run()
    workflow.finalize()
    return float(evaluator.state.best_metric)
