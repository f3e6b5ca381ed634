"""EfficientNet-B0 as the encoder of a segmenter."""

# no postponed annotations here: TorchScript reads the types of the attributes as they stand

from typing import Final

from monai.networks.nets.efficientnet import EfficientNetBN
from torch import Tensor, nn


class EfficientNetEncoder(nn.Module):
    """MONAI's EfficientNet-B0 without its classifier, returning features at five sizes.

    Laid out as torchvision's, whose weights then give torchvision's features: nine numbered modules, convolutions
    padded alike on all sides (MONAI's own padding is TensorFlow's, half a pixel aside) and batch normalisation with
    its usual epsilon; three input channels. Tan and Le, ICML 2019, arXiv 1905.11946; 4,007,548 parameters.

    Attributes:
        name: ``efficientnet_b0``.
        widths: channels of the five maps.

    Shape:
        (B, 1, H, W), repeated to three channels, or (B, 3, H, W) to a list of five: (B, widths[i], H/s, W/s) with
        s = 2, 4, 8, 16, 32, sizes rounded up: the last block of each size.
    """

    name: Final = "efficientnet_b0"
    widths: Final = (16, 24, 40, 112, 1280)

    def __init__(self) -> None:
        super().__init__()
        net = EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=1, norm="batch")
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
            for name, _ in module.named_children():
                if name.endswith("_padding"):
                    setattr(module, name, nn.Identity())
                elif name == "_swish":
                    setattr(module, name, nn.SiLU(inplace=True))
        self.features = nn.Sequential(
            nn.Sequential(net._conv_stem, net._bn0, nn.SiLU(inplace=True)),
            *(nn.Sequential(*stage) for stage in net._blocks),
            nn.Sequential(net._conv_head, net._bn1, nn.SiLU(inplace=True)),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of ``x``, the largest first."""
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        kept: list[Tensor] = []
        # the last module of each size
        for i, module in enumerate(self.features):
            x = module(x)
            if i == 1 or i == 2 or i == 3 or i == 5 or i == 8:
                kept.append(x)
        return kept
