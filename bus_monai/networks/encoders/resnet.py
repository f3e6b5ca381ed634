"""ResNet as the encoder of a segmenter, with dilation in place of the last strides."""

from __future__ import annotations

from monai.networks.nets import resnet
from torch import Tensor, nn

from bus_monai.errors import check_choice

STAGE_WIDTHS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
}
"""Channels of the five stages of each backbone."""
DILATIONS = {8: {"layer3": 2, "layer4": 4}, 16: {"layer4": 2}, 32: {}}


class ResNetEncoder(nn.Module):
    """MONAI's 2-D ResNet without its classifier, returning the features of all five stages.

    Parameters are named and shaped as in torchvision (``conv1.weight``, ``layer1.0.bn1.bias``), three input channels
    included, so that weights learned on color photographs fit. A stage that would exceed ``output_stride`` loses its
    stride, and all of its 3x3 convolutions are dilated instead (Chen et al., "Rethinking atrous convolution", 2017,
    arXiv 1706.05587). He et al., CVPR 2016, doi 10.1109/CVPR.2016.90; 42,500,160 parameters for ResNet-101.

    Args:
        backbone: ``resnet18``, ``resnet50`` or ``resnet101``.
        output_stride: input pixels per feature of the last stage: 8, 16 or 32.
        in_channels: 1 is repeated to the three that color photographs have, 3 are taken as they are; with any other
            number the first convolution is another one, which such weights do not fit.

    Attributes:
        name: the backbone.
        widths: channels of the five stages.

    Shape:
        (B, in_channels, H, W) to a list of five: (B, widths[i], H/s, W/s) with
        s = 2, 4, 8, 16, 32 but no more than ``output_stride``, sizes rounded up.

    Raises:
        UserError: unknown ``backbone`` or ``output_stride``.
    """

    def __init__(self, backbone: str = "resnet101", *, output_stride: int = 32, in_channels: int = 1) -> None:
        super().__init__()
        check_choice("backbone", backbone, STAGE_WIDTHS)
        check_choice("output_stride", output_stride, DILATIONS)
        self.name = backbone
        self.widths = STAGE_WIDTHS[backbone]
        self.repeats = in_channels == 1
        net = getattr(resnet, backbone)(
            pretrained=False,
            spatial_dims=2,
            n_input_channels=3 if self.repeats else in_channels,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            feed_forward=False,
        )
        self.conv1, self.bn1, self.act, self.maxpool = net.conv1, net.bn1, net.act, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        for layer, rate in DILATIONS[output_stride].items():
            _dilate(getattr(self, layer), rate)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of the five stages, finest first."""
        if self.repeats:
            x = x.expand(-1, 3, -1, -1)
        stem = self.act(self.bn1(self.conv1(x)))
        first = self.layer1(self.maxpool(stem))
        second = self.layer2(first)
        third = self.layer3(second)
        return [stem, first, second, third, self.layer4(third)]


def _dilate(stage: nn.Module, rate: int) -> None:
    for conv in stage.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (rate, rate)
