"""What a person who waits wants to see."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar

from bus_monai.engines.resumable_trainer import ResumableTrainer

SHOWN = {
    "g_region_loss": "region loss",
    "g_adversarial_loss": "adversarial loss",
    "semi_loss": "semi-supervised loss",
    "trusted_images": "trusted images",
    "d_loss": "critic loss",
    "critic_gap": "critic gap",
    "d_accuracy": "D accuracy",
}


class EpochReport:
    """A progress bar within each epoch, and one line after it with losses and validation.

    Args:
        evaluator: validates the network.
        enabled: ``False`` on all processes but the first.
    """

    def __init__(self, *, evaluator: Engine, enabled: bool = True) -> None:
        self.evaluator = evaluator
        self.enabled = enabled
        self.bar = ProgressBar(persist=False)

    def attach(self, engine: ResumableTrainer) -> None:
        """Attach to the trainer, after the handlers that compute losses and validate."""
        if self.enabled:
            self.bar.attach(engine)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _report(self, engine: ResumableTrainer) -> None:
        state, best = engine.state, self.evaluator.state
        parts = [f"{text} {state.metrics[name]:.4g}" for name, text in SHOWN.items() if name in state.metrics]
        if best.epoch == state.epoch:
            mark = " (best)" if best.best_metric_epoch == best.epoch else f" (best {best.best_metric:.4f})"
            parts.append(f"validation {best.key_metric_name} {best.metrics[best.key_metric_name]:.4f}{mark}")
        self.bar.log_message(f"epoch {state.epoch}/{state.max_epochs} ({engine.stage}): {', '.join(parts)}")
