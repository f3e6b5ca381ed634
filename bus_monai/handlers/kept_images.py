"""The images that an evaluator has seen, for figures."""

from __future__ import annotations

import numpy as np
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys as Keys
from numpy.typing import NDArray


class KeptImages(dict[str, NDArray[np.float32]]):
    """Images (H, W) of the current pass by the ids of their cases, as the network saw them.

    Args:
        count: images to keep; ``None`` keeps all.
    """

    def __init__(self, count: int | None = None) -> None:
        super().__init__()
        self.count = count

    def attach(self, evaluator: Engine) -> None:
        """Attach to an evaluator whose batches are lists of items."""
        evaluator.add_event_handler(Events.STARTED, self._reset)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _reset(self) -> None:
        self.clear()

    def _collect(self, evaluator: Engine) -> None:
        images = evaluator.state.output[Keys.IMAGE].float().cpu().numpy()
        for item, image in zip(evaluator.state.batch, images, strict=True):
            if self.count is None or len(self) < self.count:
                self[str(item["id"])] = image[0]
