"""U-Net on EfficientNet-Lite0."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import UserError
from bus_monai.networks.blocks.attention import AttentionGate
from bus_monai.networks.blocks.convolution import conv_norm_act
from bus_monai.networks.encoders.efficientnet import EfficientNetLiteEncoder
from bus_monai.networks.wrappers import Padded

# no postponed annotations here: TorchScript reads the types of the attributes as they stand


MULTIPLE = 32
"""Pixels: the padded image's sides are multiples of it."""
DECODER_WIDTHS = (128, 64, 32, 16)
"""Channels of the decoder at 1/16, 1/8, 1/4 and 1/2 of the image's size."""
PRESENCE_STRENGTH, PRESENCE_SLOPE = 8.0, 3.0
"""Strength and slope of the gate that lowers logits where there is no lesion, see :class:`LiteUNet`.

The strength, of 6, 8, 10, 12 and 15, is that which loses fewest lesions of five folds of BUSI with false lesions in no
more than a quarter of the normal images (card of the bundle ``lite_unet``)."""


class LiteUNet(Padded):
    """A small U-Net (Ronneberger et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_28) on EfficientNet-Lite0.

    3,781,777 parameters; 1.1 billion multiplications for an image of 256 x 256. The decoder ends at half of the image's
    size and its logits are enlarged.

    With a presence head the logits of an image are lowered by ``8 / (1 + exp(3 z))``, where z is the logit that it
    shows a lesion at all, as the head reads it off the deepest features: by 0.4 where that is as likely as 0.73, by 4
    at even odds, by 8 at most. That leaves few lesions below even odds; a lower threshold finds the others again.

    While training, the output has more channels, which are losses' business alone: the logits as they are before that,
    the presence logit (the same at every pixel) if there is a presence head, and the logits of the coarser maps,
    finest first, if there is deep supervision (Lee et al., AISTATS 2015, arXiv 1409.5185).

    Args:
        in_channels: of the image.
        out_channels: 1 for a logit of the lesion, whose sigmoid is its probability; K > 1 for the logits of K classes,
            whose softmax over the channels are their probabilities.
        presence_head: learn whether there is a lesion; 321 parameters. For one output channel.
        deep_supervision: learn from three coarser maps as well; 227 parameters. For one output channel.
        attention: gate the skip connections (Oktay et al., MIDL 2018, arXiv 1804.03999); 31,636 parameters.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W; while training with
        one output channel (B, C, H, W) with C from 1 to 5.

    Raises:
        UserError: a presence head or deep supervision with several output channels.

    Example:
        >>> LiteUNet(presence_head=True).eval()(torch.rand(1, 1, 65, 77)).shape
        torch.Size([1, 1, 65, 77])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        presence_head: bool = False,
        deep_supervision: bool = False,
        attention: bool = False,
    ) -> None:
        if out_channels > 1 and (presence_head or deep_supervision):
            raise UserError(
                f"out_channels is {out_channels}, and presence_head and deep_supervision are of one lesion's logits: "
                "set both to false, or out_channels to 1."
            )
        super().__init__(_Body(in_channels, out_channels, presence_head, deep_supervision, attention), MULTIPLE)


class _Body(nn.Module):
    """The network for H and W divisible by ``MULTIPLE``."""

    presence_head: bool
    presence_strength: float
    presence_slope: float
    deep_supervision: bool

    def __init__(
        self, in_channels: int, out_channels: int, presence_head: bool, deep_supervision: bool, attention: bool
    ) -> None:
        super().__init__()
        self.presence_head = presence_head
        self.deep_supervision = deep_supervision
        self.encoder = EfficientNetLiteEncoder(in_channels=in_channels)
        *skips, deepest = self.encoder.widths
        gates: list[nn.Module] = []
        stages: list[nn.Module] = []
        before = deepest
        for skip, width in zip(reversed(skips), DECODER_WIDTHS, strict=True):
            gates.append(AttentionGate(before, skip, skip // 2) if attention else _OpenGate())
            stages.append(nn.Sequential(conv_norm_act(before + skip, width, 3), conv_norm_act(width, width, 3)))
            before = width
        self.gates, self.stages = nn.ModuleList(gates), nn.ModuleList(stages)
        self.head = nn.Conv2d(before, out_channels, 1)
        self.presence_strength, self.presence_slope = PRESENCE_STRENGTH, PRESENCE_SLOPE
        self.presence = nn.Linear(deepest, 1) if presence_head else nn.Identity()
        coarser = DECODER_WIDTHS[-2::-1]
        self.deep_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in coarser if deep_supervision)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        size = [x.shape[2], x.shape[3]]
        maps = self.encoder(x)
        decoded: list[Tensor] = [maps[4]]
        for i, (gate, stage) in enumerate(zip(self.gates, self.stages)):  # noqa: B905 (TorchScript's zip takes no strict)
            y = F.interpolate(decoded[-1], scale_factor=2.0, mode="nearest")
            decoded.append(stage(torch.cat([y, gate(y, maps[3 - i])], dim=1)))
        logits = F.interpolate(self.head(decoded[-1]), scale_factor=2.0, mode="bilinear", align_corners=False)
        presence = self.presence(maps[4].mean(dim=(2, 3)))[:, :, None, None]
        if not self.training:
            if not self.presence_head:
                return logits
            return logits - self.presence_strength * torch.sigmoid(-self.presence_slope * presence)
        channels = [logits]
        if self.presence_head:
            channels.append(presence.expand(-1, -1, size[0], size[1]))
        for i, head in enumerate(self.deep_heads):
            channels.append(F.interpolate(head(decoded[3 - i]), size=size, mode="bilinear", align_corners=False))
        return torch.cat(channels, dim=1)


class _OpenGate(nn.Module):
    """Stands for an attention gate where there is none."""

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        return skip
