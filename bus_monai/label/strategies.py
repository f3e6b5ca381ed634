"""Strategies that choose the next image to label, and scores of images and labels."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.bundle.models import model_key
from bus_monai.bundle.run import BundleParts, bundle_parts
from bus_monai.data.readers.own_images import list_labels
from bus_monai.errors import UserError
from bus_monai.explain.saliency import choose_layer
from bus_monai.explain.uncertainty import (
    image_features,
    k_center,
    uncertainty_map,
)
from bus_monai.inference.predictor import Predictor
from bus_monai.label.infer_tasks import SegmentTask
from bus_monai.label.store import LabelStore
from bus_monai.metrics.segmentation import mask_dice
from bus_monai.sources.read import image_shape, read_all_frames, read_source
from bus_monai.transforms.image_region import FrameRegions

logger = logging.getLogger("bus_monai")


def image_uncertainty(task: SegmentTask, store: LabelStore, name: str) -> float | None:
    """Return the sum of the uncertainty over the pixels that the network sees, ``None`` for a broken image.

    See :func:`~bus_monai.explain.uncertainty.uncertainty_map`. Kept with the image for the content of the model.
    """
    key = model_key(task.versions.model())
    kept = store.get_image_info(name).get("uncertainty")
    # it is written in the folder of the images, which may come from anybody
    if isinstance(kept, dict) and kept.get("model") == key and isinstance(kept.get("sum"), int | float):
        return float(kept["sum"])
    parts, image = _seen(task, store, name)
    if image is None:
        return None
    total = float(uncertainty_map(parts.network, image).sum())
    store.update_image_info(name, {"uncertainty": {"model": key, "sum": total}})
    return total


def known_uncertainties(task: SegmentTask, store: LabelStore, names: Sequence[str]) -> dict[str, float]:
    """Return the :func:`image_uncertainty` of the images that can be read, by name."""
    scores = {name: image_uncertainty(task, store, name) for name in names}
    return {name: score for name, score in scores.items() if score is not None}


def embed(task: SegmentTask, store: LabelStore, name: str) -> NDArray[np.float32] | None:
    """Return the mean features (C,) of an image in the deepest layer that Grad-CAM would look at, of length 1.

    ``None`` for a broken image.
    """
    parts, image = _seen(task, store, name)
    if image is None:
        return None
    return image_features(parts.network, _layer(task.predictor()[0]), image)


def sample(names: Sequence[str], most: int) -> list[str]:
    """Return some of the names, the same each time as long as none comes or goes."""
    ordered = sorted(names)
    return ordered if len(ordered) <= most else random.Random(0).sample(ordered, most)  # noqa: S311


def _seen(task: SegmentTask, store: LabelStore, name: str) -> tuple[BundleParts, Tensor | None]:
    parts = _parts(task.predictor()[0])
    try:
        pixels = read_source(store.image_path(name)).pixels
    except UserError as error:
        logger.warning("Left out: %s", error)
        return parts, None
    item = parts.before({"image": MetaTensor(torch.from_numpy(pixels.copy())[None])})
    return parts, item["image"].as_tensor()[None].to(parts.device)


@lru_cache(maxsize=2)
def _parts(predictor: Predictor) -> BundleParts:
    return bundle_parts(predictor.model)


@lru_cache(maxsize=2)
def _layer(predictor: Predictor) -> str:
    parts = _parts(predictor)
    return choose_layer(parts.network, parts.size)


class DiceScoring(ScoringMethod):
    """Dice of what the active model finds against the final label, 1 where neither shows a lesion.

    Labels that were accepted as a model made them are left out.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("Dice of the model against the final label")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, float]:
        """Return the Dice of each of these images, over all its frames, and keep it with the image.

        Raises:
            UserError: an image or label cannot be read.
        """
        predictor, version = self.task.predictor()
        result = {}
        labels = list_labels(datastore.folder) if datastore.get_labeled_images() else []
        for one in labels:
            if one.is_accepted:
                continue
            frames, regions = read_all_frames(one.image), FrameRegions()
            found = np.stack([predictor.predict(f.pixels, regions(f.pixels, f.images)) >= 0.5 for f in frames])
            dice = result[one.name] = mask_dice(found, one.read() > 0)
            datastore.update_image_info(one.name, {"dice": {"model": f"{predictor.name} {version}", "dice": dice}})
        return result


class UncertaintyScoring(ScoringMethod):
    """Sum of the uncertainty over the pixels of every image without a label.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("Sum of the uncertainty of the model")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, float]:
        """Return the sum for each image that can be read, and keep it with the image."""
        return known_uncertainties(self.task, datastore, sorted(datastore.get_unlabeled_images()))


MAX_SCORED = 50
"""Of the unlabeled images a drawn sample is scored, so that whoever waits for the next image waits for seconds."""


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
        """Return the name of the image, ``None`` where all are labeled."""
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
        """Return the name of the image and its uncertainty, ``None`` where all are labeled."""
        datastore.refresh()
        known = known_uncertainties(self.task, datastore, sample(datastore.get_unlabeled_images(), MAX_SCORED))
        if not known:
            return None
        best = max(known, key=known.__getitem__)
        return {"id": best, "uncertainty": known[best]}


class Diversity(Strategy):
    """Choose the image that is farthest from all labeled ones, in features of the active model.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("The image that is least like those labeled already")
        self.task = task
        self._known: dict[tuple[str, str], NDArray[np.float32] | None] = {}

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, Any] | None:
        """Return the name of the image, ``None`` where all are labeled."""
        datastore.refresh()
        labeled = self._embed(datastore, datastore.get_labeled_images())
        rest = self._embed(datastore, sample(datastore.get_unlabeled_images(), MAX_SCORED))
        if not rest:
            return None
        chosen = k_center(np.stack(list(rest.values())), np.stack(list(labeled.values())) if labeled else None)
        return {"id": list(rest)[chosen]}

    def _embed(self, datastore: LabelStore, names: list[str]) -> dict[str, NDArray[np.float32]]:
        model = model_key(self.task.versions.model())
        for name in names:
            if (model, name) not in self._known:
                self._known[model, name] = embed(self.task, datastore, name)
        found = {name: self._known[model, name] for name in names}
        return {name: values for name, values in found.items() if values is not None}
