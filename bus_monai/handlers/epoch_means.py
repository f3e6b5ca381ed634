"""Means of an epoch's losses."""

from __future__ import annotations

import math

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.utils.enums import AdversarialKeys
from monai.utils.enums import CommonKeys as Keys

from bus_monai.engines.adversarial_trainer import D_GRADIENT_NORM, G_GRADIENT_NORM
from bus_monai.engines.mutual_supervision_trainer import REALISM_FAKE, REALISM_REAL, SEMI_LOSS
from bus_monai.errors import UserError

NAMES = {
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
        for key, name in NAMES.items():
            if key in engine.state.output:
                # kept as tensors: reading a number would wait for the device at every iteration
                self._values.setdefault(name, []).append(engine.state.output[key])

    def _publish(self, engine: Engine) -> None:
        metrics = engine.state.metrics
        for name in NAMES.values():
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
