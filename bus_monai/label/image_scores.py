"""What the active model makes of an image that nobody has labelled."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.explain.layers import choose_layer
from bus_monai.explain.uncertainty import augmentation_uncertainty, dropout_uncertainty, has_dropout
from bus_monai.inference.backends.bundle_parts import BundleParts, bundle_parts
from bus_monai.inference.model_key import model_key
from bus_monai.inference.predictor import Predictor
from bus_monai.label.image_features import image_features
from bus_monai.networks.mutual_generators import MutualGenerators
from bus_monai.source import read_source

if TYPE_CHECKING:
    from bus_monai.label.segment_task import SegmentTask
    from bus_monai.label.store import LabelStore

SAMPLES = 10
"""Passes with dropout."""
logger = logging.getLogger("bus_monai")


def image_uncertainty(task: SegmentTask, store: LabelStore, name: str) -> float | None:
    """Return the sum of the uncertainty over the pixels that the network sees, ``None`` for a broken image.

    It is the standard deviation of the probability of the two generators of ASSGAN, or over passes with dropout, or
    over mirrored and shifted images where a network has neither. Kept with the image for the content of the model.
    """
    key = model_key(task.versions.model())
    kept = store.get_image_info(name).get("uncertainty")
    if isinstance(kept, dict) and kept.get("model") == key:
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


def uncertainty_map(network: nn.Module, image: Tensor) -> Tensor:
    """Return the uncertainty (H, W) of an image (1, 1, H, W), values in [0, 0.5]."""
    if isinstance(network, MutualGenerators) and len(network.ensemble.networks) > 1:
        with torch.no_grad():
            probability = torch.cat([generator(image).sigmoid() for generator in network.ensemble.networks])
        return probability.std(dim=0, correction=0)[0]
    if has_dropout(network):
        return dropout_uncertainty(network, image, samples=SAMPLES)
    return augmentation_uncertainty(network, image)


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
