"""Which image to label next."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.strategy import Strategy
from numpy.typing import NDArray

from bus_monai.errors import UserError
from bus_monai.inference.model_key import model_key
from bus_monai.label.image_scores import embed, known_uncertainties, sample
from bus_monai.label.image_shape import image_shape
from bus_monai.label.k_centre import k_centre
from bus_monai.label.segment_task import SegmentTask
from bus_monai.label.store import LabelStore

MOST_SCORED = 50
"""Of the unlabelled images a drawn sample is scored, so that whoever waits for the next image waits for seconds."""


class InOrder(Strategy):
    """Choose the first image that can be read.

    MONAI Label's own strategies come back to a broken image again and again.

    Args:
        description: for those who choose.
        order: puts names in order.
    """

    def __init__(self, description: str, order: Callable[[list[str]], list[str]]) -> None:
        super().__init__(description)
        self.order = order

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, Any] | None:
        """Return the name of the image, ``None`` where all are labelled."""
        datastore.refresh()
        for name in self.order(datastore.get_unlabeled_images()):
            try:
                image_shape(datastore.image_path(name))
            except UserError:
                continue
            return {"id": name}
        return None


def shuffled(names: list[str]) -> list[str]:
    """Return the names in an order of chance."""
    return random.sample(names, len(names))


class Uncertainty(Strategy):
    """Choose the image that the active model is least sure about.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("The image that the model is least sure about")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, Any] | None:
        """Return the name of the image and its uncertainty, ``None`` where all are labelled."""
        datastore.refresh()
        known = known_uncertainties(self.task, datastore, sample(datastore.get_unlabeled_images(), MOST_SCORED))
        if not known:
            return None
        best = max(known, key=known.__getitem__)
        return {"id": best, "uncertainty": known[best]}


class Diversity(Strategy):
    """Choose the image that is farthest from all labelled ones, in features of the active model.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("The image that is least like those labelled already")
        self.task = task
        self._known: dict[tuple[str, str], NDArray[np.float32] | None] = {}

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, Any] | None:
        """Return the name of the image, ``None`` where all are labelled."""
        datastore.refresh()
        labelled = self._embed(datastore, datastore.get_labeled_images())
        rest = self._embed(datastore, sample(datastore.get_unlabeled_images(), MOST_SCORED))
        if not rest:
            return None
        chosen = k_centre(np.stack(list(rest.values())), np.stack(list(labelled.values())) if labelled else None)
        return {"id": list(rest)[chosen]}

    def _embed(self, datastore: LabelStore, names: list[str]) -> dict[str, NDArray[np.float32]]:
        model = model_key(self.task.versions.model())
        for name in names:
            if (model, name) not in self._known:
                self._known[model, name] = embed(self.task, datastore, name)
        found = {name: self._known[model, name] for name in names}
        return {name: values for name, values in found.items() if values is not None}
