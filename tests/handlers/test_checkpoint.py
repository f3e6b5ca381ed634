"""Which weights of a training are kept."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bus_monai.bundle.registry import TRAINED_FILE
from bus_monai.handlers.checkpoint import TrainingCheckpoint


def kept(losses: list[float], scores: list[float], folder: Path, lowest: str | None, extra: dict[str, Any]) -> int:
    """Validate an epoch for each loss; return the epoch whose weights are kept."""
    network, evaluator = nn.Linear(1, 1), Engine(lambda *_: None)
    checkpoint = TrainingCheckpoint(folder=folder, evaluator=evaluator, network=network, lowest=lowest)
    checkpoint.extra = extra
    checkpoint.attach(SimpleNamespace(add_event_handler=lambda *_: None))  # type: ignore[arg-type]
    best = -math.inf
    for epoch, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1):
        nn.init.constant_(network.weight, epoch)
        evaluator.state.metrics, evaluator.state.epoch = {"loss": loss}, epoch
        if score > best:
            best, evaluator.state.best_metric_epoch = score, epoch  # type: ignore[attr-defined]
        evaluator.fire_event(Events.COMPLETED)
    return int(torch.load(folder / TRAINED_FILE, weights_only=True)["weight"])


@pytest.mark.parametrize(("lowest", "epoch"), [(None, 4), ("loss", 2)])
def test_best_score_or_lowest_loss(lowest: str | None, epoch: int, tmp_path: Path) -> None:
    losses, scores = [0.5, 0.3, 0.4, 0.3, math.nan], [0.1, 0.2, 0.3, 0.4, 0.0]
    assert kept(losses, scores, tmp_path, lowest, {}) == epoch


def test_the_lowest_loss_travels_with_the_checkpoint(tmp_path: Path) -> None:
    extra: dict[str, Any] = {}
    assert kept([math.nan, 0.3], [0.0, 0.0], tmp_path, "loss", extra) == 2
    assert extra == {"lowest": 0.3}
    # a run that is taken up again does not begin with worse weights
    assert kept([0.4, 0.2, 0.25], [0.0, 0.0, 0.0], tmp_path, "loss", extra) == 2
    assert extra == {"lowest": 0.2}
