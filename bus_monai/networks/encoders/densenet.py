"""DenseNet-121 as the encoder of a segmenter."""

from typing import Final

from monai.networks.nets.densenet import DenseNet121
from torch import Tensor, nn

# no postponed annotations here: TorchScript reads the types of the attributes as they stand


class DenseNetEncoder(nn.Module):
    """MONAI's DenseNet-121 without its classifier, returning features at five sizes.

    Modules are laid out as in torchvision (``features.denseblock1...``) but for the ``layers`` of MONAI within each
    dense layer, three input channels included. Huang et al., CVPR 2017, doi 10.1109/CVPR.2017.243; 6,953,856
    parameters.

    Args:
        in_channels: 1 is repeated to the three that color photographs have, 3 are taken as they are; with any other
            number the first convolution is another one, which such weights do not fit.

    Attributes:
        name: ``densenet121``.
        widths: channels of the five maps.

    Shape:
        (B, in_channels, H, W), H and W divisible by 32, to a list of five:
        (B, widths[i], H/s, W/s) with s = 2, 4, 8, 16, 32: the stem before and after its pooling, the first two
        transitions, and the last block, normalized and rectified.
    """

    repeats: bool
    name: Final = "densenet121"
    widths: Final = (64, 64, 128, 256, 1024)

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__()
        self.repeats = in_channels == 1
        self.features = DenseNet121(
            spatial_dims=2, in_channels=3 if self.repeats else in_channels, out_channels=1
        ).features
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of ``x``, the largest first."""
        if self.repeats:
            x = x.expand(-1, 3, -1, -1)
        kept: list[Tensor] = []
        # stem, pooling and two transitions, by their places among the twelve modules
        for i, module in enumerate(self.features):
            x = module(x)
            if i == 2 or i == 3 or i == 5 or i == 7:
                kept.append(x)
        kept.append(self.act(x))
        return kept
