"""Means of an epoch: over what was there, of all that is finite."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.utils.enums import AdversarialKeys

from bus_monai.errors import UserError
from bus_monai.handlers.epoch_means import EpochMeans


def run(outputs: list[dict]) -> dict[str, float]:
    engine = Engine(lambda _engine, batch: batch)
    EpochMeans().attach(engine)
    engine.run(outputs, max_epochs=1)
    return engine.state.metrics


def test_each_value_is_averaged_over_the_iterations_that_have_it() -> None:
    d = [{AdversarialKeys.DISCRIMINATOR_LOSS: torch.tensor(v)} for v in (1.0, 3.0)]
    g = [{"loss": torch.tensor(v)} for v in (0.5, 0.25, 0.75)]
    assert run([*d, {}, *g]) == {"d_loss": 2.0, "g_loss": 0.5}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_with_advice(bad: float) -> None:
    with pytest.raises(UserError) as error:
        run([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(bad)}])
    assert str(error.value) == (
        "g_loss is not finite in epoch 1: lower the learning rate, set max_grad_norm, or train without amp."
    )


def test_an_infinite_gradient_norm_is_reported_and_no_error() -> None:
    assert run([{"g_gradient_norm": torch.tensor(float("inf"))}]) == {"g_gradient_norm": float("inf")}
