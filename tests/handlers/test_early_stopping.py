"""Early stopping: when it ends a run, and that a resumed run ends where the whole one does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine, Events
from monai.engines.evaluator import SupervisedEvaluator
from monai.transforms.post.dictionary import Activationsd
from torch import nn

from bus_monai.handlers.early_stopping import EarlyStop, ValidationLoss
from bus_monai.losses.region import make_region_loss
from tests.user_errors import raises_user_error

LOSSES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, float("nan")]), min_size=1, max_size=12)


def epochs_run(losses: list[float], patience: int | None, extra: dict[str, Any], **options: Any) -> int:
    """Train for as many epochs as there are losses; return how many it was."""
    trainer, evaluator = Engine(lambda *_: None), Engine(lambda *_: None)
    checkpoint: Any = SimpleNamespace(extra=extra)
    stop = EarlyStop(patience=patience, evaluator=evaluator, checkpoint=checkpoint, **options)
    stop.attach(trainer)  # type: ignore[arg-type]

    def validate(trainer: Engine) -> None:
        evaluator.state.metrics[options.get("metric", "loss")] = losses[trainer.state.epoch - 1]
        evaluator.fire_event(Events.COMPLETED)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    if losses:
        trainer.run([0], max_epochs=len(losses))
    return trainer.state.epoch


def expected(losses: list[float], patience: int) -> int:
    """The first epoch at which the lowest loss is ``patience`` epochs old; NaN is never the lowest but at first."""
    best, age = float("inf"), 0
    for epoch, loss in enumerate(losses, start=1):
        best, age = (loss, 0) if loss < best or epoch == 1 else (best, age + 1)
        if best != best:
            best = float("inf")
        if age == patience:
            return epoch
    return len(losses)


@settings(max_examples=50)
@given(losses=LOSSES, patience=st.integers(1, 4))
def test_a_run_ends_when_its_lowest_loss_is_too_old(losses: list[float], patience: int) -> None:
    assert epochs_run(losses, patience, {}) == expected(losses, patience)


@settings(max_examples=50)
@given(losses=LOSSES, patience=st.integers(1, 4), cut=st.integers(0, 12))
def test_a_resumed_run_ends_in_the_same_epoch(losses: list[float], patience: int, cut: int) -> None:
    extra: dict[str, Any] = {}
    done = epochs_run(losses[:cut], patience, extra)
    assert done + epochs_run(losses[done:], patience, extra) == epochs_run(losses, patience, {})


@settings(max_examples=20)
@given(losses=LOSSES, patience=st.integers(1, 4))
def test_a_metric_may_be_better_the_higher(losses: list[float], patience: int) -> None:
    scores = [1 - loss for loss in losses]
    assert epochs_run(scores, patience, {}, metric="macro_f1", mode="max") == expected(losses, patience)


def test_without_patience_it_goes_to_the_end() -> None:
    extra: dict[str, Any] = {}
    assert epochs_run([0.1] * 30, None, extra) == 30
    assert extra == {}


def test_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    extra: dict[str, Any] = {}
    epochs_run([0.5, 0.25, 0.3, 0.3], 2, extra)
    assert extra == {"early_stopping": {"counter": 2, "best_score": 0.25, "threshold_mode": "abs"}}
    assert epochs_run([0.1], 2, extra) == 0
    assert epochs_run([0.1], 3, extra) == 1
    assert [message for message in caplog.messages if "early" in message] == [
        "Stopped early after epoch 4: for 2 validations no loss has been better than 0.25.",
        "Nothing is left to train: stopped early after epoch 0.",
    ]


@pytest.mark.parametrize("patience", [0, -1, 2.5, True, "x"])
def test_wrong_patience_is_named(patience: Any) -> None:
    with raises_user_error(repr(patience), 1, "null", key="patience"):
        epochs_run([], patience, {})


@pytest.mark.parametrize("name", ["bce", "dice"])
def test_mean_over_the_images_before_the_sigmoid(name: str) -> None:
    torch.manual_seed(0)
    # logits beyond which a sigmoid in float32 is 1
    image, label = 40 * torch.randn(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) > 0.5).float()
    loss = make_region_loss(name)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": image[:2], "label": label[:2]}, {"image": image[2:], "label": label[2:]}],
        network=nn.Identity(),
        postprocessing=Activationsd(keys="pred", sigmoid=True),
        val_handlers=[ValidationLoss(loss=loss)],
    )
    evaluator.run()
    expected = sum(float(loss(image[i : i + 1], label[i : i + 1])) for i in range(3)) / 3
    assert evaluator.state.metrics["loss"] == pytest.approx(expected, rel=1e-6)
