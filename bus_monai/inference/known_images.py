"""Which images a model knows, so that it can say of others that it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle.scripts import create_workflow
from torch import Tensor

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import inference_parser
from bus_monai.bundle.settings import keep_null, path_text
from bus_monai.data.dataset import default_dataset_dir, load_dataset, to_items
from bus_monai.data.items import inference_items
from bus_monai.errors import UserError
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.weights import read_weights

KNOWN_GROUPS = 3
"""Images of the training as they are, the same augmented, and phantoms, with which everything is tried out."""
KNOWN_MARGIN = 1.18
"""Images up to so many times as far as the farthest of the training are known: those of a scanner that nothing was
learned from lie 1.1 times as far, photographs and films 1.5 times and more (docs/experiments/lite_unet.md)."""


def fit_known_images(
    model: TrainedModel, data: Path, others: Sequence[Path] = ()
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and settings of a model that can tell how far an image is from those that it was trained on.

    Args:
        model: of a bundle whose network is a :class:`~bus_monai.networks.lite_unet.LiteUNet`.
        data: folder of the data set that it was trained on, of which the section for training is taken.
        others: folders of images of other kinds, which look so like those that their distance alone does not tell.

    Raises:
        UserError: the model has another network, or the data set cannot be read.
    """
    settings = model.settings | {"known_groups": KNOWN_GROUPS, "other_groups": len(others)}
    parser = inference_parser(TrainedModel(model.name, model.bundle, model.weights, settings))
    network = parser.get_parsed_content("network_def")
    if not isinstance(network, LiteUNet):
        raise UserError(f"'{model.name}' has no network that knows images: leave DATA out.")
    network.load_state_dict(network.state_dict() | read_weights(model.files[0]))
    plain = parser.get_parsed_content("preprocessing")
    learned = load_dataset(data, protocol=settings["protocol"], seed=settings["seed"]).training
    phantoms = load_dataset(default_dataset_dir(), protocol="all_train").training
    network.eval().fit_distance(
        [
            _images(to_items(learned), plain),
            _images(to_items(learned), _augmentation(model, data)),
            _images(to_items(phantoms), plain),
        ],
        [_images(inference_items(folder, ""), plain) for folder in others],
        margin=KNOWN_MARGIN,
    )
    return network.state_dict(), settings


def _augmentation(model: TrainedModel, data: Path) -> Any:
    """Return the transforms of the training."""
    config = model.bundle / "configs" / "train.json"
    with tempfile.TemporaryDirectory() as folder:
        out = {"ckpt_dir": path_text(folder), "output_dir": path_text(folder), "dataset_dir": path_text(data)}
        overrides = {key: value for key, value in model.overrides(config.name).items() if key != "ckpt_path"}
        workflow = create_workflow(config_file=str(config), run_id="training", **keep_null(overrides | out))
        chain = workflow.parser.get_parsed_content("train#preprocessing")
        workflow.finalize()
    return chain


def _images(items: Sequence[Mapping[str, Any]], chain: Any) -> Iterator[Tensor]:
    for item in items:
        yield chain(item)["image"].as_tensor()
