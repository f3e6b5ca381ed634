"""PSPNet on a dilated ResNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import adaptive_mean, conv_norm_act
from bus_monai.networks.encoders.resnet import ResNetEncoder

# no postponed annotations here: TorchScript reads the type of the attribute as it stands

POOLING_BINS = (1, 2, 3, 6)
CHANNELS = 512


class PSPNet(nn.Module):
    """Means over 1, 2x2, 3x3 and 6x6 regions of the features at 1/8 of the size give context to each of them.

    Zhao et al., CVPR 2017, doi 10.1109/CVPR.2017.660, laid out as ``PSPNet("resnet101", encoder_depth=5,
    output_stride=8, upsampling=8)`` of segmentation-models-pytorch 0.6, without the auxiliary loss of the paper;
    48,800,833 parameters, the encoder's three input channels included.

    Args:
        in_channels: of the image; 1 is repeated to the three of the encoder.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: ``resnet18``, ``resnet50`` or ``resnet101``.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: unknown ``backbone``.

    Example:
        >>> PSPNet(backbone="resnet18").eval()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, backbone: str = "resnet101") -> None:
        super().__init__()
        self.encoder = ResNetEncoder(backbone, output_stride=8, in_channels=in_channels)
        width = self.encoder.widths[-1]
        self.regions = nn.ModuleList(_Regions(width, width // len(POOLING_BINS), bins) for bins in POOLING_BINS)
        self.fuse = nn.Sequential(conv_norm_act(2 * width, CHANNELS, 1), nn.Dropout2d(0.2))
        self.head = nn.Conv2d(CHANNELS, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        deep = self.encoder(x)[4]
        seen = [region(deep) for region in self.regions]
        seen.append(deep)
        logits = self.head(self.fuse(torch.cat(seen, dim=1)))
        return F.interpolate(logits, size=[x.shape[2], x.shape[3]], mode="bilinear", align_corners=True)


class _Regions(nn.Module):
    """Means over ``bins`` x ``bins`` regions, projected and brought back to the size of the input."""

    bins: int

    def __init__(self, in_channels: int, out_channels: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        # a single value per channel cannot be normalized over a batch of one
        single = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))
        self.project = single if bins == 1 else conv_norm_act(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = self.project(adaptive_mean(x, self.bins))
        return F.interpolate(means, size=[x.shape[2], x.shape[3]], mode="bilinear", align_corners=True)
