"""Saliency of a segmenter: Grad-CAM, Grad-CAM++ and occlusion."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode
from monai.visualize.class_activation_maps import GradCAM, GradCAMpp, ModelWithHooks
from monai.visualize.occlusion_sensitivity import OcclusionSensitivity
from torch import Tensor, nn

from bus_monai.errors import UserError
from bus_monai.explain.attention_maps import ATTENTION_BLOCKS, enlarge

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
PATCHES_PER_SIDE = 8
"""Patches along the shorter side; they overlap by half."""
OCCLUSION_BATCH_SIZE = 16


def predicted_region(logits: Tensor) -> Tensor:
    """Return where logits (1, 1, H, W) say lesion, as 0 and 1; the likeliest pixel alone where they say so nowhere.

    Example:
        >>> import torch
        >>> predicted_region(torch.tensor([[[[-3.0, -1.0], [-2.0, -4.0]]]])).flatten().tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    return (logits >= logits.amax().clamp(max=0)).to(logits.dtype)


class SegmentationCam:
    """Show which places of a layer's map speak for the predicted lesion.

    The score that is differentiated is the sum of the logits over the predicted lesion (Vinogradova et al.,
    Seg-Grad-CAM, AAAI 2020, doi 10.1609/aaai.v34i10.7244), see
    :func:`~bus_monai.explain.saliency.predicted_region`. Grad-CAM weighs each channel by the mean of its
    gradient (Selvaraju et al., ICCV 2017, doi 10.1109/ICCV.2017.74), Grad-CAM++ by a weighted mean of its positive part
    (Chattopadhyay et al., WACV 2018, doi 10.1109/WACV.2018.00097); both as MONAI has them.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W); a copy is used, and it stays as it is.
        layer: one of :func:`~bus_monai.explain.saliency.feature_layers`.
    """

    def __init__(self, network: nn.Module, layer: str) -> None:
        # MONAI leaves its hooks in place, and they do not go with operations in place on what they watch
        network = copy.deepcopy(network).eval().requires_grad_(False)
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        parent, _, child = layer.rpartition(".")
        setattr(network.get_submodule(parent), child, _Copied(network.get_submodule(layer)))
        self.network = network
        name = f"network.{layer}.module"
        hooked = ModelWithHooks(_RegionScore(network), name, register_forward=True, register_backward=True)
        self.plain, self.plus_plus = GradCAM(hooked, name), GradCAMpp(hooked, name)

    def __call__(self, image: Tensor, *, plus_plus: bool = False) -> Tensor:
        """Explain one image.

        Args:
            image: (1, 1, H, W), values in [0, 1].
            plus_plus: Grad-CAM++ instead of Grad-CAM.

        Returns:
            (H, W), values in [0, 1]: the largest is 1, or all are 0 where nothing speaks for the lesion.
        """
        cam = self.plus_plus if plus_plus else self.plain
        values = cam.compute_map(image.detach().clone().requires_grad_(), class_idx=0).detach()
        values = enlarge(values, image.shape[2:], self.network)[0, 0]
        return values / values.max() if values.max() > 0 else values


class _Copied(nn.Module):
    """A module whose output may be changed in place."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.module(*inputs)
        return output.clone()


class _RegionScore(nn.Module):
    """The sum of the logits over the predicted lesion, (1, 1, H, W) to (1, 1), less its own value."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        score = (logits * predicted_region(logits.detach())).sum(dim=(2, 3))
        # Grad-CAM++ multiplies all by exp(score), which overflows; the gradient is that of the score
        return score - score.detach()


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


def occlusion_map(network: nn.Module, image: Tensor) -> Tensor:
    """Show how much of the predicted lesion is lost when a part of the image is hidden.

    A square patch is set to the mean of the image (Zeiler and Fergus, ECCV 2014, doi 10.1007/978-3-319-10590-1_53; as
    MONAI has it), and the mean probability over the lesion that was predicted without it is taken anew. A pixel's value
    is the loss, averaged over the patches that cover it; a gain counts as 0.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W).
        image: (1, 1, H, W), values in [0, 1].

    Returns:
        (H, W), values in [0, 1].
    """
    with eval_mode(network):
        logits = network(image)
    region = predicted_region(logits)
    sensitivity = OcclusionSensitivity(
        _RegionProbability(network, region),
        mask_size=max(1, min(image.shape[2:]) // PATCHES_PER_SIDE),
        n_batch=OCCLUSION_BATCH_SIZE,
        verbose=False,
        mode="mean_img",
        overlap=0.5,
        activate=False,
    )
    with warnings.catch_warnings():
        # MONAI indexes with a list of slices, of which torch warns
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence")
        occluded, _ = sensitivity(image)
    whole: Tensor = (logits.sigmoid() * region).sum() / region.sum()
    return (whole - torch.as_tensor(occluded).as_subclass(Tensor)[0, 0]).clamp(min=0)


class _RegionProbability(nn.Module):
    """The mean probability over a region (1, 1, H, W), (B, 1, H, W) to (B, 1)."""

    def __init__(self, network: nn.Module, region: Tensor) -> None:
        super().__init__()
        self.network = network
        self.region = region

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return (logits.sigmoid() * self.region).sum(dim=(2, 3)) / self.region.sum()
