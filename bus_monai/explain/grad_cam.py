"""Grad-CAM and Grad-CAM++ of a segmenter."""

from __future__ import annotations

import copy

from monai.visualize.class_activation_maps import GradCAM, GradCAMpp, ModelWithHooks
from torch import Tensor, nn

from bus_monai.explain.enlarge import enlarge
from bus_monai.explain.predicted_region import predicted_region


class SegmentationCam:
    """Show which places of a layer's map speak for the predicted lesion.

    The score that is differentiated is the sum of the logits over the predicted lesion (Vinogradova et al.,
    Seg-Grad-CAM, AAAI 2020, doi 10.1609/aaai.v34i10.7244), see
    :func:`~bus_monai.explain.predicted_region.predicted_region`. Grad-CAM weighs each channel by the mean of its
    gradient (Selvaraju et al., ICCV 2017, doi 10.1109/ICCV.2017.74), Grad-CAM++ by a weighted mean of its positive part
    (Chattopadhyay et al., WACV 2018, doi 10.1109/WACV.2018.00097); both as MONAI has them.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W); a copy is used, and it stays as it is.
        layer: one of :func:`~bus_monai.explain.layers.feature_layers`.
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
