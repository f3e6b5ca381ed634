"""The loss of the validation images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Loss, MetricUsage
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

NAME = "loss"


class ValidationLoss:
    """Put the mean over the validation images of a loss of the logits into ``state.metrics["loss"]``.

    It reads the batch between the network and MONAI's postprocessing: what a sigmoid has brought to 0 or 1 has lost
    its logit. A loss that is a mean over a batch counts as often as the batch has images, in all processes.

    Args:
        loss: of logits (B, 1, H, W) and masks (B, 1, H, W), a scalar.
        device: where sums over processes are taken.
    """

    def __init__(self, *, loss: Callable[[Tensor, Tensor], Tensor], device: str | torch.device = "cpu") -> None:
        self._metric = Loss(loss, lambda output: (output[Keys.PRED], output[Keys.LABEL]), device=device)

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator."""
        usage = MetricUsage(Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, IterationEvents.FORWARD_COMPLETED)
        self._metric.attach(engine, NAME, usage)
