"""U-Net on EfficientNet-Lite."""

from collections.abc import Iterable, Sequence
from typing import Any, Optional, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import UserError
from bus_monai.networks.blocks.attention import AttentionGate, OpenGate
from bus_monai.networks.blocks.convolution import conv_norm_act
from bus_monai.networks.blocks.mahalanobis import MahalanobisDistance
from bus_monai.networks.encoders.efficientnet import EfficientNetLiteEncoder
from bus_monai.networks.wrappers import Padded

# no postponed annotations here: TorchScript reads the types of the attributes as they stand

DECODER_WIDTHS = (128, 64, 32, 16)
"""Channels of the decoder at 1/16, 1/8, 1/4 and 1/2 of the image's size."""
CELL_PX = 32
"""Pixels of the image under one of the deepest features; the padded image's sides are multiples of it."""
PRESENCE_STRENGTH, PRESENCE_SLOPE = 8.0, 3.0
"""Strength and slope of the gate that lowers logits where there is no lesion, see :class:`LiteUNet`.

The strength, of 6, 8, 10, 12 and 15, is that which loses fewest lesions of five folds of BUSI with false lesions in no
more than a quarter of the normal images (card of the bundle ``lite_unet``)."""


class LiteUNet(Padded):
    """A small U-Net (Ronneberger et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_28) on EfficientNet-Lite0.

    3,781,777 parameters; 1.1 billion multiplications for an image of 256 x 256. The decoder ends at half of the image's
    size and its logits are enlarged. EfficientNet-Lite1 and -Lite2 are larger encoders.

    With a presence head the logits of an image are lowered by ``8 / (1 + exp(3 (z - shift)))``, where z is the logit
    that it shows a lesion at all, as the head reads it off the deepest features: by 4 where z is the shift, by 8 at
    most. That leaves few lesions below it; a lower threshold finds the others again. The shift decides how many normal
    images are marked and how many lesions found.

    With presence cells the head reads the strongest cell besides the mean of the features: the deepest features say
    for each cell of 32 x 32 pixels whether a part of a lesion is in it, and are taught that. A small lesion does not
    drown in the mean then, and the tissue around a lesion teaches what is none, even where a data set has no image
    without one.

    While training, the output has more channels, which are losses' business alone: the logits as they are before that,
    the presence logit (the same at every pixel) if there is a presence head, the cells' logits (the same at every pixel
    of a cell) if there are presence cells, and the logits of the coarser maps, finest first, if there is deep
    supervision (Lee et al., AISTATS 2015, arXiv 1409.5185).

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: ``efficientnet_lite0``, ``efficientnet_lite1`` or ``efficientnet_lite2``.
        presence_head: learn whether there is a lesion; 321 parameters. For one output channel.
        presence_shift: of the gate.
        presence_cells: learn where, roughly, and let the presence head know; 322 parameters. Only with that head.
        deep_supervision: learn from three coarser maps as well; 227 parameters. For one output channel.
        attention: gate the skip connections (Oktay et al., MIDL 2018, arXiv 1804.03999); 31,636 parameters.
        known_groups: number of groups of known images, with the nearest of which an image is compared, see
            :meth:`with_distance`; no parameters.
        other_groups: number of groups of images of other kinds, which tell better what is not known.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W; while training with
        one output channel (B, C, H, W) with C from 1 to 6.

    Raises:
        UserError: a presence head or deep supervision with several output channels, or an unknown backbone.

    Example:
        >>> LiteUNet(presence_head=True).eval()(torch.rand(1, 1, 65, 77)).shape
        torch.Size([1, 1, 65, 77])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        backbone: str = "efficientnet_lite0",
        presence_head: bool = False,
        presence_shift: float = 0.0,
        presence_cells: bool = False,
        deep_supervision: bool = False,
        attention: bool = False,
        known_groups: int = 0,
        other_groups: int = 0,
    ) -> None:
        if out_channels > 1 and (presence_head or deep_supervision):
            raise UserError(
                f"out_channels is {out_channels}, and presence_head and deep_supervision are of one lesion's logits: "
                "set both to false, or out_channels to 1."
            )
        body = _Body(
            in_channels,
            out_channels,
            backbone=backbone,
            presence_head=presence_head,
            presence_shift=presence_shift,
            presence_cells=presence_head and presence_cells,
            deep_supervision=deep_supervision,
            attention=attention,
            known_groups=known_groups,
            other_groups=other_groups,
        )
        super().__init__(body, CELL_PX)
        self.known_groups = known_groups
        if not known_groups:
            self.register_load_state_dict_pre_hook(_forget_distance)  # type: ignore[no-untyped-call]

    def with_distance(self, x: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits of ``x``, and how far each image is from those that the network learned from.

        Beyond 1 an image is unlike all of them, see
        :class:`~bus_monai.networks.blocks.mahalanobis.MahalanobisDistance`, which compares features at 1/16 of the
        image's size: those of the deepest map tell less of what kind an image is. With ``known_groups``, once
        :meth:`fit_distance` was called.

        Args:
            x: (B, in_channels, H, W).
            shift: (1,), in place of ``presence_shift``.

        Returns:
            (B, out_channels, H, W) and (B,).
        """
        body: Any = self.network
        logits, distance = body.with_distance(self.padded(x), shift)
        return logits[:, :, : x.shape[2], : x.shape[3]], distance

    def distance(self, x: Tensor) -> Tensor:
        """Return the distances (B,) of :meth:`with_distance` alone."""
        body: Any = self.network
        distance: Tensor = body.distance(body.encoder(self.padded(x))[3])
        return distance

    @torch.no_grad()
    def fit_distance(
        self, groups: Sequence[Iterable[Tensor]], others: Sequence[Iterable[Tensor]] = (), *, margin: float = 1.0
    ) -> None:
        """Take what :meth:`with_distance` compares with from images.

        Args:
            groups: the images of each group, (in_channels, H, W) in [0, 1], as the network meets them in validation.
            others: the same of images of other kinds.
            margin: see :meth:`~bus_monai.networks.blocks.mahalanobis.MahalanobisDistance.fit`.

        Raises:
            UserError: there is another number of groups, or one has too few images.
        """
        body: Any = self.network

        def means(images: Iterable[Tensor]) -> Tensor:
            return torch.stack([body.encoder(self.padded(x[None]))[3].mean(dim=(2, 3))[0] for x in images])

        body.distance.fit([means(group) for group in groups], [means(group) for group in others], margin=margin)


def knows_images(network: nn.Module) -> TypeGuard[LiteUNet]:
    """Whether a network tells how far an image is from those that it knows."""
    return isinstance(network, LiteUNet) and network.known_groups > 0


def _forget_distance(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Let weights that tell what is known be loaded into a network that is not asked."""
    for name in [name for name in state if name.startswith(f"{prefix}network.distance.")]:
        del state[name]


class _Body(nn.Module):
    """The network for H and W divisible by ``CELL_PX``."""

    presence_head: bool
    presence_cells: bool
    presence_strength: float
    presence_slope: float
    presence_shift: float
    deep_supervision: bool

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        backbone: str,
        presence_head: bool,
        presence_shift: float,
        presence_cells: bool,
        deep_supervision: bool,
        attention: bool,
        known_groups: int,
        other_groups: int,
    ) -> None:
        super().__init__()
        self.presence_head = presence_head
        self.presence_cells = presence_cells
        self.deep_supervision = deep_supervision
        self.encoder = EfficientNetLiteEncoder(backbone, in_channels=in_channels)
        *skips, deepest = self.encoder.widths
        gates: list[nn.Module] = []
        stages: list[nn.Module] = []
        before = deepest
        for skip, width in zip(reversed(skips), DECODER_WIDTHS, strict=True):
            gates.append(AttentionGate(before, skip, skip // 2) if attention else OpenGate())
            stages.append(nn.Sequential(conv_norm_act(before + skip, width, 3), conv_norm_act(width, width, 3)))
            before = width
        self.gates, self.stages = nn.ModuleList(gates), nn.ModuleList(stages)
        self.head = nn.Conv2d(before, out_channels, 1)
        self.presence_strength, self.presence_slope = PRESENCE_STRENGTH, PRESENCE_SLOPE
        self.presence_shift = presence_shift
        inputs = deepest + 1 if self.presence_cells else deepest
        self.presence = nn.Linear(inputs, 1) if presence_head else nn.Identity()
        self.cells = nn.Conv2d(deepest, 1, 1) if self.presence_cells else nn.Identity()
        coarser = DECODER_WIDTHS[-2::-1]
        self.distance = (
            nn.Identity() if not known_groups else MahalanobisDistance(skips[-1], known_groups, other_groups)
        )
        self.deep_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in coarser if deep_supervision)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encoder(x), None)

    def with_distance(self, x: Tensor, shift: Optional[Tensor]) -> tuple[Tensor, Tensor]:  # noqa: UP045 (TorchScript)
        """Return the logits of ``x`` and the distances of its images."""
        maps = self.encoder(x)
        return self.decode(maps, shift), self.distance(maps[3])

    def decode(self, maps: list[Tensor], shift: Optional[Tensor]) -> Tensor:  # noqa: UP045 (TorchScript)
        """Return the logits of an image with these maps."""
        decoded: list[Tensor] = [maps[4]]
        for i, (gate, stage) in enumerate(zip(self.gates, self.stages)):  # noqa: B905 (TorchScript's zip takes no strict)
            y = F.interpolate(decoded[-1], scale_factor=2.0, mode="nearest")
            decoded.append(stage(torch.cat([y, gate(y, maps[3 - i])], dim=1)))
        logits = F.interpolate(self.head(decoded[-1]), scale_factor=2.0, mode="bilinear", align_corners=False)
        cells, features = self.cells(maps[4]), maps[4].mean(dim=(2, 3))
        if self.presence_cells:
            features = torch.cat([features, cells.amax(dim=(2, 3))], dim=1)
        presence = self.presence(features)[:, :, None, None]
        size = [logits.shape[2], logits.shape[3]]
        if not self.training:
            if not self.presence_head:
                return logits
            sure = presence - self.presence_shift if shift is None else presence - shift
            return logits - self.presence_strength * torch.sigmoid(-self.presence_slope * sure)
        channels = [logits]
        if self.presence_head:
            channels.append(presence.expand(-1, -1, size[0], size[1]))
        if self.presence_cells:
            channels.append(F.interpolate(cells, size=size, mode="nearest"))
        for i, head in enumerate(self.deep_heads):
            channels.append(F.interpolate(head(decoded[3 - i]), size=size, mode="bilinear", align_corners=False))
        return torch.cat(channels, dim=1)
