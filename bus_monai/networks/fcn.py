"""FCN on a dilated ResNet."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.networks.blocks.convolution import conv_norm_act
from bus_monai.networks.encoders.resnet import ResNetEncoder


class FCN(nn.Module):
    """A convolutional head on features at 1/8 of the size, interpolated to the input.

    Long et al., CVPR 2015, doi 10.1109/CVPR.2015.7298965, in the form of torchvision's ``fcn_resnet50``, not FCN-8s on
    VGG-16: dilation stands in for the skips, and the auxiliary head is left out; 32,946,753 parameters, the encoder's
    three input channels included. Other than in torchvision, the first block of a dilated stage has the stage's own
    dilation.

    Args:
        in_channels: of the image; 1 is repeated to the three of the encoder.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: ``resnet18``, ``resnet50`` or ``resnet101``.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: unknown ``backbone``.

    Example:
        >>> import torch
        >>> FCN(backbone="resnet18")(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, backbone: str = "resnet50") -> None:
        super().__init__()
        self.encoder = ResNetEncoder(backbone, output_stride=8, in_channels=in_channels)
        width = self.encoder.widths[-1]
        self.head = nn.Sequential(
            conv_norm_act(width, width // 4, 3), nn.Dropout(0.1), nn.Conv2d(width // 4, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits = self.head(self.encoder(x)[4])
        return F.interpolate(logits, size=[x.shape[2], x.shape[3]], mode="bilinear", align_corners=False)
