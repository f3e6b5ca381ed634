"""Maps of a network's attention blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from monai.networks.nets.attentionunet import AttentionBlock
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.attention import CAW, CBAM, AttentionGate, ChannelAttention, NonLocal
from bus_monai.networks.wrappers import Padded

ATTENTION_BLOCKS = (CBAM, NonLocal, AttentionGate, AttentionBlock, CAW)
_Rule = Callable[[nn.Module, Tensor, Tensor], Tensor]


def enlarge(values: Tensor, size: Sequence[int], network: nn.Module) -> Tensor:
    """Interpolate a map bilinearly to the size of the image that the network was given.

    A layer inside :class:`~bus_monai.networks.wrappers.Padded` also sees what was added below and to the right; that
    part of the map is cut off.

    Args:
        values: (B, C, h, w).
        size: H and W in pixels.
        network: whose layer gave the map.

    Returns:
        (B, C, H, W).
    """
    multiple = max((part.multiple for part in network.modules() if isinstance(part, Padded)), default=1)
    padded = [-(-side // multiple) * multiple for side in size]
    return F.interpolate(values, size=padded, mode="bilinear", align_corners=False)[:, :, : size[0], : size[1]]


@dataclass(frozen=True)
class AttentionMap:
    """The map of one attention block.

    Args:
        block: its name in ``network.named_modules()``.
        values: in [0, 1], on the CPU; (H, W), or (C,) where the block weighs channels.
    """

    block: str
    values: Tensor


def has_attention(network: nn.Module) -> bool:
    """Tell whether the network has a block of which there is a map."""
    return next(_watched(network), None) is not None


def attention_maps(network: nn.Module, image: Tensor) -> list[AttentionMap]:
    """Read the weights of each attention block while the network sees an image, in the order of their use.

    - CBAM: the weight of a pixel.
    - Attention gate, of RDAU-NET and MONAI's of Attention U-Net: the coefficient of a pixel, cut to [0, 1].
    - Non-local: how much the pixels of the image look at a pixel, that is the mean over the rows of the affinity
      matrix; divided by its largest value.
    - CAW, one vector per branch: the weight of a channel (channel weighting), and how much the channels take up of a
      channel, the mean over the rows of their affinity, divided by its largest value (channel attention).

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).
        image: (1, 1, H, W), values in [0, 1].
    """
    maps: list[AttentionMap] = []

    def keep(name: str, rule: _Rule) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            values = rule(module, inputs[0], output)
            if values.ndim == 4:
                values = enlarge(values, image.shape[2:], network)[0, 0]
            maps.append(AttentionMap(name, values.cpu()))

        return hook

    hooks = [module.register_forward_hook(keep(name, rule)) for name, module, rule in _watched(network)]
    try:
        with eval_mode(network):
            network(image)
    finally:
        for handle in hooks:
            handle.remove()
    return maps


def _watched(network: nn.Module) -> Iterator[tuple[str, nn.Module, _Rule]]:
    """Yield the name of each block, the part of it to watch, and how its input and output become a map."""
    for name, block in network.named_modules():
        if isinstance(block, CBAM):
            yield name, block.pixel, lambda module, x, y: y.sigmoid()
        elif isinstance(block, AttentionGate):
            yield name, block.alpha, lambda module, x, y: y.clamp(0, 1)
        elif isinstance(block, AttentionBlock):
            yield name, block.psi, lambda module, x, y: y
        elif isinstance(block, NonLocal):
            yield name, block, _looked_at
        elif isinstance(block, CAW):
            for number, branch in enumerate(block.branches):
                if isinstance(branch, ChannelSELayer):
                    yield f"{name}.branches.{number}", branch.fc, lambda module, x, y: y.flatten()
                elif isinstance(branch, ChannelAttention):
                    yield f"{name}.branches.{number}", branch, _taken_up


def _looked_at(block: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    assert isinstance(block, NonLocal)
    values = block.affinity(x).mean(dim=1).reshape(1, 1, *x.shape[2:])
    return values / values.max()


def _taken_up(block: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    assert isinstance(block, ChannelAttention)
    values = block.affinity(x).mean(dim=1)[0]
    return values / values.max()
