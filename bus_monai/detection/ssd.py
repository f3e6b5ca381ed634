"""Single-shot detectors of masses: SSD300, a light one, one on EfficientNet-Lite0, and all by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.detection.boxes import BOXES_PER_CELL, INPUT_SIDE, MAP_SIDES
from bus_monai.errors import UserError, check_choice
from bus_monai.networks.encoders.efficientnet import EfficientNetLiteEncoder
from bus_monai.networks.wrappers import Standardized

CLASS_COUNT = 2
"""Background and mass."""
VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
CONV4_3_RELU = 22
"""Number of the ReLU behind VGG-16's tenth convolution, whose features are the finest that boxes come from."""
SSD300_EXTRA = ((1024, 256, 512, 2), (512, 128, 256, 2), (256, 128, 256, 1), (256, 128, 256, 1))
"""Channels in, between and out of the four blocks behind VGG-16, and stride."""
SSD300_WIDTHS = (512, 1024, 512, 256, 256, 256)
SSD_LITE_STEM = ((16, 2), (32, 2), (32, 1))
"""Channels out of the convolutions before the first map, and stride."""
SSD_LITE_MAPS = (
    ((32, 64, 2), (64, 64, 1), (64, 64, 1)),
    ((64, 128, 2), (128, 128, 1), (128, 128, 1)),
    ((128, 128, 2), (128, 128, 1)),
    ((128, 128, 2), (128, 128, 1)),
    ((128, 128, 2),),
)
"""The convolutions of the first five maps, each behind the one before."""
SSD_LITE_WIDTHS = (64, 128, 128, 128, 128, 128)
PYRAMID_WIDTH = 128
"""Channels of each map of :class:`SSDEfficientNet`."""
ROOM = -INPUT_SIDE % 32
"""Pixels below and on the right that its encoder, which halves a side five times, wants beside the image."""


class SSD(nn.Module):
    """Two convolutions on each of six feature maps: one for the places of boxes, one for their classes.

    A subclass makes the maps, of 38, 19, 10, 5, 3 and 1 cells per side. Liu et al., ECCV 2016, doi
    10.1007/978-3-319-46448-0_2 (arXiv 1512.02325), section 2.1.

    Args:
        widths: channels of the six maps.
        in_channels: of the image.

    Shape:
        (B, in_channels, 300, 300) to offsets (B, 8732, 4) from the boxes of
        :func:`~bus_monai.detection.boxes.default_boxes`, and logits (B, 8732, 2), background first.

    Raises:
        UserError: an input of another size.
    """

    def __init__(self, widths: Sequence[int], *, in_channels: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        counts = list(zip(widths, BOXES_PER_CELL, strict=True))
        self.offsets = nn.ModuleList(nn.Conv2d(width, 4 * boxes, 3, padding=1) for width, boxes in counts)
        self.logits = nn.ModuleList(nn.Conv2d(width, CLASS_COUNT * boxes, 3, padding=1) for width, boxes in counts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets and logits of ``x``."""
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            self._check(x)
        maps = self.maps(x)
        offsets, logits = [], []
        # by index, since TorchScript unrolls lists of modules but not those of tensors
        for i, (place, kind) in enumerate(zip(self.offsets, self.logits)):  # noqa: B905
            offsets.append(_by_box(place(maps[i]), 4))
            logits.append(_by_box(kind(maps[i]), 2))
        return torch.cat(offsets, dim=1), torch.cat(logits, dim=1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        raise NotImplementedError

    def _check(self, x: Tensor) -> None:
        expected = (self.in_channels, INPUT_SIDE, INPUT_SIDE)
        if x.shape[1:] != expected:
            raise UserError(
                f"{type(self).__name__} got an input of shape {tuple(x.shape)}: give (B, "
                f"{', '.join(map(str, expected))})."
            )


def _by_box(head: Tensor, values: int) -> Tensor:
    """Turn (B, boxes * values, H, W) into (B, H * W * boxes, values)."""
    return head.permute(0, 2, 3, 1).reshape(head.shape[0], -1, values)


class SSD300(SSD):
    """Single-shot detector with 300 x 300 input on VGG-16, one class beside the background.

    Boxes come from six maps of 38, 19, 10, 5, 3 and 1 cells per side. Liu et al., ECCV 2016, doi
    10.1007/978-3-319-46448-0_2 (arXiv 1512.02325). ``features`` is numbered as in torchvision's VGG-16, so that weights
    learned on photographs fit; 23,745,908 parameters, as torchvision's ``ssd300_vgg16`` with two classes has.

    Args:
        in_channels: of the image; a gray one is repeated to three.

    Shape:
        (B, in_channels, 300, 300) with values in [0, 1] to offsets (B, 8732, 4) from the boxes of
        :func:`~bus_monai.detection.boxes.default_boxes`, and logits (B, 8732, 2), background first.

    Raises:
        UserError: an input of another size.
    """

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__(SSD300_WIDTHS, in_channels=in_channels)
        self.repeats = in_channels == 1
        self.features = _vgg16(3 if self.repeats else in_channels)
        self.conv4_3 = CONV4_3_RELU
        # as in Liu et al. (ParseNet, 2015): these features are larger than those of deeper maps
        self.scale = nn.Parameter(torch.full((512,), 20.0))
        self.fc = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(),
        )
        self.extra = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, between, 1),
                nn.ReLU(),
                nn.Conv2d(between, after, 3, stride=stride, padding=stride - 1),
                nn.ReLU(),
            )
            for before, between, after, stride in SSD300_EXTRA
        )
        for module in (*self.fc, *self.extra.modules(), *self.offsets, *self.logits):
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        if self.repeats:
            x = x.expand(-1, 3, -1, -1)
        maps: list[Tensor] = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i == self.conv4_3:
                maps.append(F.normalize(x) * self.scale[:, None, None])
        x = self.fc(x)
        maps.append(x)
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return maps


def _vgg16(in_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = in_channels
    for width in VGG16:
        if isinstance(width, int):
            conv = nn.Conv2d(before, width, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers += [conv, nn.ReLU()]
            before = width
        else:
            # rounded up, else the first map would have 37 cells
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
    features = nn.Sequential(*layers)
    # by which the loader of weights finds it
    features.name = "vgg16"  # type: ignore[assignment]
    return features


class SSDLite(SSD):
    """SSD300's boxes on a backbone of fifteen 3 x 3 convolutions with batch norm, which learns from random weights.

    Ours, of no paper: VGG-16 without batch norm starts from weights learned on photographs, and takes some forty times
    as long. 1,555,940 parameters.

    Args:
        in_channels: of the image.

    Shape:
        As :class:`~bus_monai.detection.ssd.SSD`.
    """

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__(SSD_LITE_WIDTHS, in_channels=in_channels)
        before = (in_channels, *(width for width, _ in SSD_LITE_STEM))
        self.stem = nn.Sequential(*(_conv(width, *step) for width, step in zip(before, SSD_LITE_STEM, strict=False)))
        self.blocks = nn.ModuleList(nn.Sequential(*(_conv(*step) for step in steps)) for steps in SSD_LITE_MAPS)
        # a map of one cell has no statistics of its own in a batch of one image
        self.last = nn.Sequential(nn.Conv2d(SSD_LITE_WIDTHS[-2], SSD_LITE_WIDTHS[-1], 3), nn.ReLU())

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        maps.append(self.last(x))
        return maps


def _conv(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


class SSDEfficientNet(SSD):
    """SSD300's boxes on the feature pyramid of an EfficientNet-Lite0, whose weights learned on photographs can be had.

    Ours, of no paper: what the deep maps know is added to the fine ones, which have the boxes of small masses (Lin et
    al., Feature Pyramid Networks, CVPR 2017, doi 10.1109/CVPR.2017.106). 4,112,756 parameters.

    Args:
        in_channels: of the image.

    Shape:
        As :class:`~bus_monai.detection.ssd.SSD`, of images with mean 0 and standard deviation 1, as
        :func:`~bus_monai.detection.ssd.make_detector` makes them.
    """

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__((PYRAMID_WIDTH,) * len(BOXES_PER_CELL), in_channels=in_channels)
        self.encoder = EfficientNetLiteEncoder("efficientnet_lite0", in_channels=in_channels, standardized=True)
        self.sides = MAP_SIDES[:3]
        self.lateral = nn.ModuleList(nn.Conv2d(width, PYRAMID_WIDTH, 1) for width in self.encoder.widths[2:])
        self.smooth = nn.ModuleList(_conv(PYRAMID_WIDTH, PYRAMID_WIDTH, 1) for _ in self.lateral)
        self.coarser = nn.ModuleList(_conv(PYRAMID_WIDTH, PYRAMID_WIDTH, 2) for _ in range(2))
        self.last = nn.Sequential(nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3), nn.ReLU())

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the six feature maps of ``x``, finest first."""
        # so that a cell of a map is as far from the next as its boxes are
        features = self.encoder(F.pad(x, [0, ROOM, 0, ROOM], mode="replicate"))[2:]
        pyramid: list[Tensor] = []
        for i, layer in enumerate(self.lateral):
            pyramid.append(layer(features[i]))
        pyramid[1] = pyramid[1] + _doubled(pyramid[2])
        pyramid[0] = pyramid[0] + _doubled(pyramid[1])
        maps: list[Tensor] = []
        for i, layer in enumerate(self.smooth):
            side = self.sides[i]
            maps.append(layer(pyramid[i])[:, :, :side, :side])
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        maps.append(self.last(maps[-1]))
        return maps


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


DETECTOR_CLASSES: Mapping[str, Callable[[], SSD]] = {
    "ssd300": SSD300,
    "ssd_lite": SSDLite,
    "ssd_efficientnet": SSDEfficientNet,
}
DETECTOR_NAMES = tuple(DETECTOR_CLASSES)


class OneTensor(nn.Module):
    """A detector whose two outputs are one, as exports and MONAI's engines want it.

    Args:
        network: (B, 1, 300, 300) to offsets (B, D, 4) and logits (B, D, 2).

    Shape:
        (B, 1, 300, 300) to (B, 6, D): offsets in x, y, width and height, logits of background and mass.
    """

    def __init__(self, network: SSD) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return offsets and logits of ``x``."""
        offsets, logits = self.network(x)
        return torch.cat([offsets, logits], dim=2).transpose(1, 2)


def split_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """Take the output of a detector (B, 6, D) apart: offsets (B, D, 4) and logits (B, D, 2)."""
    offsets, logits = torch.split(output.transpose(1, 2), [4, 2], dim=2)
    return offsets, logits


def make_detector(name: str) -> Standardized:
    """Make a detector that standardizes its input itself.

    Args:
        name: one of :data:`DETECTOR_NAMES`.

    Returns:
        A module from (B, 1, 300, 300) in [0, 1] to (B, 6, 8732), see :class:`OneTensor`.

    Raises:
        UserError: unknown name.

    Example:
        >>> make_detector("ssd_lite")(torch.rand(1, 1, 300, 300)).shape
        torch.Size([1, 6, 8732])
    """
    check_choice("network_name", name, DETECTOR_NAMES)
    return Standardized(OneTensor(DETECTOR_CLASSES[name]()))
