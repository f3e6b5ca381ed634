"""The parts of a bundle's ``inference.json`` that turn an image into probabilities."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import create_workflow
from monai.transforms.compose import Compose
from torch import nn

from bus_monai.inference.models import TrainedModel
from bus_monai.settings import keep_null

CONFIG = "inference.json"


@dataclass(frozen=True)
class BundleParts:
    """Parts of the config, built.

    Args:
        network: with its weights, in evaluation mode, on ``device``.
        before: transforms of an item with ``image``, between loading and the network.
        inferer: calls the network with inputs (1, 1, h, w).
        after: transforms of the item with ``pred``, between the network and saving.
        device: where the network computes.
        size: (h, w) that the network was made for.
        settings: the config's plain values.
    """

    network: nn.Module
    before: Compose
    inferer: Callable[..., Any]
    after: Compose
    device: Any
    size: tuple[int, int]
    settings: dict[str, Any]


def bundle_parts(model: TrainedModel) -> BundleParts:
    """Build the parts.

    Raises:
        UserError: the weights are missing, broken or of another network, or a setting is wrong.
    """
    parser = inference_parser(model)
    get = parser.get_parsed_content
    height, width = get("image_size")
    return BundleParts(
        get("network").eval(),
        # the first loads, the last saves
        Compose(get("preprocessing").transforms[1:]),
        get("inferer"),
        Compose(get("postprocessing").transforms[:-1]),
        get("device"),
        (height, width),
        dict(parser.get()),
    )


def inference_parser(model: TrainedModel) -> ConfigParser:
    """Return the ``inference.json`` of a bundle with the model's weights and settings; nothing is written to disk.

    Raises:
        UserError: a setting is wrong.
    """
    # the config makes its output folder, which nothing is written to here; outside of a running workflow it does not
    # know where it lies, and would take the weights of the package's bundle
    with tempfile.TemporaryDirectory() as unused:
        folders = {"bundle_root": str(model.bundle), "output_dir": unused, "dataset_dir": unused}
        workflow = create_workflow(
            config_file=str(model.bundle / "configs" / CONFIG),
            run_id="inferring",
            **(keep_null(model.overrides(CONFIG)) | folders),
        )
    return workflow.parser
