"""How many pseudo-labels an epoch trusted."""

from __future__ import annotations

from ignite import distributed as idist
from ignite.engine import Events

from bus_monai.engines.mutual_supervision_trainer import MutualSupervisionTrainer

NAME = "trusted_images"


class TrustedMasks:
    """Put the number of unlabelled images whose mask was trusted into ``engine.state.metrics``, epoch by epoch.

    The count of all processes, in epochs that see unlabelled images; ASSGAN's gamma study (Zhai et
    al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021) draw it. With pixel-wise confidence an image
    counts with its share of trusted pixels.
    """

    def attach(self, engine: MutualSupervisionTrainer) -> None:
        """Attach to the trainer, before the handlers that write metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _publish(self, engine: MutualSupervisionTrainer) -> None:
        engine.state.metrics.pop(NAME, None)
        if engine.uses_unlabeled:
            engine.state.metrics[NAME] = float(idist.all_reduce(engine.state.trusted_images.clone()))
