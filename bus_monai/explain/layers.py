"""Layers of a segmenter whose maps can be explained."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.explain.attention_maps import ATTENTION_BLOCKS

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def feature_layers(network: nn.Module, size: Sequence[int]) -> list[str]:
    """List the layers that give one map (B, C, h, w) of several channels and pixels, in the order of their use.

    A layer that is used several times, such as a shared activation, has no map of its own and is left out, as is one
    that the output does not depend on.

    Args:
        network: (B, 1, H, W) to logits (B, 1, H, W).
        size: H and W of its input in pixels.
    """
    calls: Counter[str] = Counter()
    maps: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[1] > 1 and output[0, 0].numel() > 1:
                maps[name] = output

        return note

    hooks = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    image = next(network.parameters()).new_zeros(1, 1, *size).requires_grad_()
    try:
        with eval_mode(network), torch.enable_grad():
            logits = network(image)
    finally:
        for hook in hooks:
            hook.remove()
    gradients = torch.autograd.grad(logits.sum(), list(maps.values()), allow_unused=True)
    return [name for name, gradient in zip(maps, gradients, strict=True) if gradient is not None and calls[name] == 1]


def choose_layer(network: nn.Module, size: Sequence[int], wanted: str | None = None) -> str:
    """Return the layer to explain.

    The default is the last that holds a convolution and still gives several channels, outside of the attention blocks:
    the block that the decoder ends with. Of the multi-encoder U-Net this is the last separable convolution, as in its
    paper.

    Args:
        network: (B, 1, H, W) to logits (B, 1, H, W).
        size: H and W of its input in pixels.
        wanted: name of a layer, as in ``network.named_modules()``.

    Raises:
        UserError: there is no such layer, or it gives no map; the message gives near names.
    """
    names = feature_layers(network, size)
    if wanted is None:
        modules = dict(network.named_modules())
        attention = tuple(name + "." for name, module in modules.items() if isinstance(module, ATTENTION_BLOCKS))
        return [n for n in names if not f"{n}.".startswith(attention) and _convolves(modules[n])][-1]
    if wanted not in names:
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or names[-3:]
        raise UserError(f"--layer is '{wanted}', which gives no map: use a layer such as {', '.join(near)}.")
    return wanted


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, CONVOLUTIONS) for part in module.modules())
