"""Which weights of a training are kept, when the latest state is written, and what comes back."""

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
from bus_monai.networks.weights import read_weights
from tests.user_errors import raises_user_error


def kept(losses: list[float], scores: list[float], folder: Path, lowest: str | None, extra: dict[str, Any]) -> int:
    """Validate an epoch for each loss; return the epoch whose weights are kept."""
    network, evaluator = nn.Linear(1, 1), Engine(lambda *_: None)
    checkpoint = TrainingCheckpoint(folder=folder, evaluator=evaluator, network=network, lowest=lowest)
    checkpoint.extra = extra
    checkpoint.attach(SimpleNamespace(add_event_handler=lambda *_: None, pretrain_epochs=0))  # type: ignore[arg-type]
    best, evaluator.state.key_metric_name = -math.inf, "dice"  # type: ignore[attr-defined]
    for epoch, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1):
        nn.init.constant_(network.weight, epoch)
        evaluator.state.metrics, evaluator.state.epoch = {"loss": loss, "dice": score}, epoch
        if score > best:
            best, evaluator.state.best_metric_epoch = score, epoch  # type: ignore[attr-defined]
        evaluator.fire_event(Events.COMPLETED)
    epoch = int(torch.load(folder / TRAINED_FILE, weights_only=True)["weight"])
    assert checkpoint.best == (extra["best"]["epoch"], extra["best"]["score"])
    return epoch


@pytest.mark.parametrize(("lowest", "epoch"), [(None, 4), ("loss", 2)])
def test_best_score_or_lowest_loss(lowest: str | None, epoch: int, tmp_path: Path) -> None:
    losses, scores = [0.5, 0.3, 0.4, 0.3, math.nan], [0.1, 0.2, 0.3, 0.4, 0.0]
    extra: dict[str, Any] = {}
    assert kept(losses, scores, tmp_path, lowest, extra) == epoch
    assert extra["best"] == {"epoch": epoch, "score": scores[epoch - 1]}


def test_the_lowest_loss_travels_with_the_checkpoint(tmp_path: Path) -> None:
    extra: dict[str, Any] = {}
    assert kept([math.nan, 0.3], [0.0, 0.1], tmp_path, "loss", extra) == 2
    assert extra == {"lowest": 0.3, "best": {"epoch": 2, "score": 0.1}}
    # a run that is taken up again does not begin with worse weights
    assert kept([0.4, 0.2, 0.25], [0.3, 0.2, 0.4], tmp_path, "loss", extra) == 2
    assert extra == {"lowest": 0.2, "best": {"epoch": 2, "score": 0.2}}


def parts(scores: list[float], pretrain_epochs: int = 0, kept_after: int = 0) -> tuple[Any, Engine, nn.Linear]:
    """Make a trainer whose network holds the number of the epoch, and an evaluator with these scores."""
    network = nn.Linear(1, 1)
    trainer: Any = Engine(lambda engine, batch: None)
    trainer.pretrain_epochs, trainer.kept_after = pretrain_epochs, kept_after
    trainer.is_due = lambda interval: trainer.state.epoch % interval == 0 or trainer.state.epoch == len(scores)
    trainer.state_dict = lambda: {"epoch": trainer.state.epoch}
    trainer.loaded = []
    trainer.load_state_dict = trainer.loaded.append
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1.0, -1
    evaluator.state.key_metric_name = "dice"  # type: ignore[attr-defined]

    def validate() -> None:
        network.weight.data.fill_(trainer.state.epoch)
        score = scores[trainer.state.epoch - 1]
        evaluator.state.epoch, evaluator.state.metrics = trainer.state.epoch, {"dice": score}
        if score > evaluator.state.best_metric:
            evaluator.state.best_metric, evaluator.state.best_metric_epoch = score, trainer.state.epoch
        evaluator.fire_event(Events.COMPLETED)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    return trainer, evaluator, network


def test_the_best_weights_and_the_latest_state_are_kept(tmp_path: Path) -> None:
    trainer, evaluator, network = parts([0.1, 0.5, 0.4, 0.5, 0.2])
    handler = TrainingCheckpoint(folder=tmp_path / "run", evaluator=evaluator, network=network, interval=2)
    handler.extra["seen"] = 7
    handler.attach(trainer)
    written: list[int] = []

    def note() -> None:
        path = tmp_path / "run" / "checkpoint.pt"
        written.append(read_weights(path)["trainer"]["epoch"] if path.exists() else 0)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, note)
    trainer.run([0], max_epochs=5)
    assert written == [0, 2, 2, 4, 5]
    assert float(read_weights(tmp_path / "run" / "model.pt")["weight"]) == 2  # an equal score later is no better
    assert read_weights(tmp_path / "run" / "checkpoint.pt") == {
        "trainer": {"epoch": 5},
        "best_metric": 0.5,
        "best_metric_epoch": 2,
        "extra": {"seen": 7, "best": {"epoch": 2, "score": 0.5}},
    }

    trainer, evaluator, network = parts([0.1])
    resumed = TrainingCheckpoint(folder=tmp_path / "run", evaluator=evaluator, network=network, resume=True)
    resumed.attach(trainer)
    assert trainer.loaded == [{"epoch": 5}]
    assert (evaluator.state.best_metric, evaluator.state.best_metric_epoch, resumed.best) == (0.5, 2, (2, 0.5))
    assert resumed.extra["seen"] == 7


HISTORY = [{"epoch": 1, "val_loss": 0.3, "val_dice": 0.5}, {"epoch": 2}, {"epoch": 3, "val_loss": 0.4, "val_dice": 0.8}]


@pytest.mark.parametrize(
    ("lowest", "extra", "best"),
    [
        (None, {"history": HISTORY}, (3, 0.8)),
        ("loss", {"history": HISTORY, "lowest": 0.3}, (1, 0.5)),
        ("loss", {"lowest": 0.3}, (3, 0.8)),
    ],
)
def test_a_run_that_an_earlier_version_began_knows_its_best_epoch(
    lowest: str | None, extra: dict[str, Any], best: tuple[int, float], tmp_path: Path
) -> None:
    trainer, evaluator, network = parts([0.1])
    state = {"trainer": {"epoch": 3}, "best_metric": 0.8, "best_metric_epoch": 3, "extra": extra}
    torch.save(state, tmp_path / "checkpoint.pt")
    handler = TrainingCheckpoint(folder=tmp_path, evaluator=evaluator, network=network, lowest=lowest, resume=True)
    handler.attach(trainer)
    assert handler.best == best


@pytest.mark.parametrize(
    ("scores", "taken"), [([0.1, 0.5, 0.4, 0.6], [(4, 2)]), ([-2, -2, -2, 0.6], []), ([0.1, 0.5, 0.4], [])]
)
def test_training_goes_on_from_the_best_epoch_of_pretraining(
    scores: list[float], taken: list[tuple[int, int]], tmp_path: Path
) -> None:
    trainer, evaluator, network = parts(scores, pretrain_epochs=3)
    started: list[tuple[int, int]] = []
    trainer.start_from = lambda weights: started.append((trainer.state.epoch, int(weights["weight"])))
    TrainingCheckpoint(folder=tmp_path, evaluator=evaluator, network=network).attach(trainer)
    # of a run that was here before, and never the start of this one
    torch.save({"weight": torch.tensor([[9.0]])}, tmp_path / TRAINED_FILE)
    trainer.run([0], max_epochs=len(scores))
    assert started == taken


@pytest.mark.parametrize(
    ("kept_after", "epochs", "best"), [(0, 5, (2, 0.5)), (2, 5, (4, 0.4)), (2, 2, (2, 0.5)), (5, 5, (2, 0.5))]
)
@pytest.mark.parametrize("is_resumed", [False, True])
def test_the_best_weights_are_of_the_epochs_that_may_be_kept(
    kept_after: int, epochs: int, best: tuple[int, float], is_resumed: bool, tmp_path: Path
) -> None:
    for epoch in range(1, epochs + 1) if is_resumed else [epochs]:
        trainer, evaluator, network = parts([0.1, 0.5, 0.3, 0.4, 0.2][:epochs], kept_after=kept_after)
        trainer.load_state_dict = lambda state, trainer=trainer: trainer.state.__dict__.update(state)
        handler = TrainingCheckpoint(
            folder=tmp_path, evaluator=evaluator, network=network, resume=is_resumed and epoch > 1
        )
        trainer.state.epoch = 0
        handler.attach(trainer)
        trainer.state.max_epochs, trainer.state.epoch_length = epoch, 1
        trainer.state.iteration = trainer.state.epoch
        trainer.run([0])
    assert handler.best == best
    assert int(read_weights(tmp_path / TRAINED_FILE)["weight"]) == best[0]


def test_until_a_later_epoch_is_validated_the_best_is_an_earlier_one(tmp_path: Path) -> None:
    trainer, evaluator, network = parts([0.1, 0.5], kept_after=2)
    handler = TrainingCheckpoint(folder=tmp_path, evaluator=evaluator, network=network)
    handler.attach(trainer)
    trainer.run([0], max_epochs=2)
    trainer.state.epoch = 3
    trainer.fire_event(Events.EPOCH_STARTED)
    assert handler.best == (2, 0.5)


def test_a_resumed_run_takes_no_later_epoch_for_the_best_of_pretraining(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.4, 0.6, 0.7, 0.2]
    started: list[int] = []

    def begin(*, resume: bool) -> Any:
        trainer, evaluator, network = parts(scores, pretrain_epochs=3)
        trainer.start_from = lambda weights: started.append(int(weights["weight"]))

        def load(state: dict[str, int]) -> None:
            trainer.state.epoch = state["epoch"]

        trainer.load_state_dict = load
        handler = TrainingCheckpoint(folder=tmp_path, evaluator=evaluator, network=network, interval=3, resume=resume)
        handler.attach(trainer)
        return trainer

    def kill(engine: Engine) -> None:
        # the best epoch so far, which no state knows of
        if engine.state.epoch == 4:
            raise KeyboardInterrupt

    killed = begin(resume=False)
    killed.add_event_handler(Events.EPOCH_COMPLETED, kill)
    with pytest.raises(KeyboardInterrupt):
        killed.run([0], max_epochs=6)
    assert float(read_weights(tmp_path / TRAINED_FILE)["weight"]) == 4
    resumed = begin(resume=True)
    assert resumed.state.epoch == 3
    resumed.state.max_epochs, resumed.state.epoch_length = 6, 1
    resumed.state.iteration = 3
    resumed.run([0])
    assert started == [2, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "checkpoint.pt"}


def test_other_processes_read_and_do_not_write(tmp_path: Path) -> None:
    trainer, evaluator, network = parts([0.1, 0.2])
    TrainingCheckpoint(folder=tmp_path / "run", evaluator=evaluator, network=network, enabled=False).attach(trainer)
    trainer.run([0], max_epochs=2)
    assert not (tmp_path / "run").exists()


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    handler = TrainingCheckpoint(folder=tmp_path, evaluator=SimpleNamespace(), network=nn.Linear(1, 1), resume=True)  # type: ignore[arg-type]
    with raises_user_error("resume", path=tmp_path / "checkpoint.pt"):
        handler.attach(SimpleNamespace(pretrain_epochs=0))  # type: ignore[arg-type]
