"""U-Net with several pre-trained encoders side by side, and its published variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Self

from bus_monai.errors import UserError, check_choice, check_number
from bus_monai.networks.blocks.attention import CBAM, NonLocal
from bus_monai.networks.blocks.convolution import separable
from bus_monai.networks.encoders.densenet import DenseNetEncoder
from bus_monai.networks.encoders.efficientnet import LITE_SCALES, EfficientNetEncoder, EfficientNetLiteEncoder
from bus_monai.networks.encoders.resnet import ResNetEncoder
from bus_monai.networks.wrappers import Padded

Encoder = ResNetEncoder | DenseNetEncoder | EfficientNetEncoder | EfficientNetLiteEncoder


def _lite(name: str, in_channels: int) -> EfficientNetLiteEncoder:
    # the segmenter as a whole standardizes its image
    return EfficientNetLiteEncoder(name, in_channels=in_channels, standardized=True)


ENCODERS: Mapping[str, Callable[[int], Encoder]] = {
    "resnet18": lambda in_channels: ResNetEncoder("resnet18", in_channels=in_channels),
    "densenet121": lambda in_channels: DenseNetEncoder(in_channels=in_channels),
    "efficientnet_b0": lambda in_channels: EfficientNetEncoder(in_channels=in_channels),
    **{name: partial(_lite, name) for name in LITE_SCALES},
}
ATTENTIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "cbam": CBAM,
    "non_local": NonLocal,
}
SKIP_MODES = ("none", "add", "concat")
DECODER_CHANNELS = (512, 256, 128, 64)
DROPOUT_RATE = 0.3
R, D, E, *LITE = ENCODERS


class MultiEncoderUNet(Padded):
    """Encoders side by side, their last maps joined, and four separable convolutions with attention up to half size.

    Anari et al., Scientific Reports 2025, doi 10.1038/s41598-024-84504-y, with the parameter counts of its Table 1:
    23,881,989 with its three encoders and CBAM. The paper speaks of skip connections, and its counts leave room for
    those that are added, not for such as are concatenated. Attention comes before up-sampling: after it the weights of
    a non-local block would take 16 times the memory.

    Args:
        in_channels: of the image; 1 is repeated to the three of the encoders.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        encoders: some of ``resnet18``, ``densenet121``, ``efficientnet_b0``, which are the paper's, and
            ``efficientnet_lite0``, ``efficientnet_lite1``, ``efficientnet_lite2``, in this order whatever the order
            given.
        attention: ``none``, ``cbam`` or ``non_local``, after each stage of the decoder.
        freeze_encoders: the encoders learn nothing and stay in evaluation mode.
        skip: ``none``; ``add`` the encoders' maps at 1/16, 1/8 and 1/4 of the size to the stages of the same size,
            where they have the same channels (ResNet-18 and DenseNet-121), at no cost; or ``concat`` those of all
            encoders to the stages' inputs.
        relu6_throughout: ReLU6 takes the place of ReLU in encoders and attention too, as the paper's text may be read;
            weights learned on photographs know ReLU.
        dropout: share of the channels that are dropped before the last convolution, in [0, 1).

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W. In training mode
        batch normalization needs more than one value per channel: at least two images, or more than 32 pixels per side.

    Raises:
        UserError: unknown encoder, attention or skip, no encoder, ``add`` with EfficientNets alone, or ``dropout``
            outside its range.

    Example:
        >>> MultiEncoderUNet(encoders=["resnet18"])(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        encoders: Sequence[str] = (R, D, E),
        attention: str = "cbam",
        freeze_encoders: bool = False,
        skip: str = "add",
        relu6_throughout: bool = False,
        dropout: float = DROPOUT_RATE,
    ) -> None:
        _check(encoders, attention, skip)
        check_number("dropout", dropout, at_least=0, below=1)
        body = _Body(in_channels, out_channels, encoders, attention, freeze_encoders, skip, dropout)
        super().__init__(body, multiple=32)
        if relu6_throughout:
            _to_relu6(body)


class _Body(nn.Module):
    """The network for H and W divisible by 32; ``encoders`` is a ``ModuleDict`` by name."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        encoders: Sequence[str],
        attention: str,
        freeze_encoders: bool,
        skip: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.freeze_encoders = freeze_encoders
        made = {name: make(in_channels) for name, make in ENCODERS.items() if name in encoders}
        self.encoders = nn.ModuleDict(made).requires_grad_(not freeze_encoders)

        widths = [encoder.widths for encoder in made.values()]
        before = sum(width[4] for width in widths)
        stages: list[nn.Module] = []
        for i, channels in enumerate(DECODER_CHANNELS):
            stages.append(separable(before, channels))
            joined = sum(width[3 - i] for width in widths) if skip == "concat" and i < 3 else 0
            before = channels + joined
        self.stages = nn.ModuleList(stages)
        self.attention = nn.ModuleList(ATTENTIONS[attention](channels) for channels in DECODER_CHANNELS)
        project = nn.Conv2d(before, out_channels, 1)
        # four attentions leave so little of the signal at the start that a bias would drown it
        nn.init.constant_(torch.as_tensor(project.bias), 0)
        self.head = nn.Sequential(nn.Dropout2d(dropout), project)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but leave frozen encoders in evaluation mode."""
        super().train(mode)
        if self.freeze_encoders:
            self.encoders.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        maps: list[list[Tensor]] = []
        for encoder in self.encoders.values():
            maps.append(encoder(x))
        x = torch.cat([of_encoder[4] for of_encoder in maps], dim=1)
        for i, (stage, attention) in enumerate(zip(self.stages, self.attention)):  # noqa: B905 (TorchScript's zip takes no strict)
            if i > 0 and self.skip == "concat":
                x = torch.cat([x] + [of_encoder[4 - i] for of_encoder in maps], dim=1)
            x = stage(x)
            if i > 0 and self.skip == "add":
                for of_encoder in maps:
                    if of_encoder[4 - i].shape[1] == x.shape[1]:
                        x = x + of_encoder[4 - i]
            x = _double(attention(x))
        return _double(self.head(x))


def _to_relu6(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.ReLU6(inplace=True))
        else:
            _to_relu6(child)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, size=[2 * x.shape[2], 2 * x.shape[3]], mode="bilinear", align_corners=False)


def _check(encoders: Sequence[str], attention: str, skip: str) -> None:
    unknown = [name for name in encoders if name not in ENCODERS]
    if unknown or not encoders or isinstance(encoders, str):
        raise UserError(f"encoders is {encoders!r}: give a list of one or more of {', '.join(ENCODERS)}.")
    check_choice("attention", attention, ATTENTIONS)
    check_choice("skip", skip, SKIP_MODES)
    if skip == "add" and not {R, D} & set(encoders):
        raise UserError(
            f"skip is 'add', but the maps of {', '.join(encoders)} have other channels than the decoder: use 'concat', "
            "or add resnet18 or densenet121 to encoders.",
            key="skip",
        )


class Preset(NamedTuple):
    """One row of the table: ``loss`` is ``bce`` or ``dice``, the rest are options of the network."""

    encoders: tuple[str, ...]
    attention: str
    freeze_encoders: bool
    loss: str
    skip: str = "add"


PRESETS: Mapping[int, Preset] = {
    1: Preset((R, D, E), "cbam", False, "bce"),
    2: Preset((R, D, E), "cbam", False, "dice"),
    3: Preset((R, D, E), "non_local", False, "bce"),
    4: Preset((R, D, E), "non_local", False, "dice"),
    5: Preset((R, D, E), "none", True, "dice"),
    6: Preset((R, D, E), "none", True, "bce"),
    7: Preset((R, D, E), "none", False, "bce"),
    8: Preset((R, D, E), "none", False, "dice"),
    9: Preset((R, D, E), "non_local", True, "dice"),
    10: Preset((R, D, E), "cbam", True, "dice"),
    11: Preset((R, D, E), "non_local", True, "bce"),
    12: Preset((R, D, E), "cbam", True, "bce"),
    13: Preset((D, E), "none", True, "dice"),
    14: Preset((D, E), "none", True, "bce"),
    15: Preset((R, E), "none", True, "bce"),
    16: Preset((R, E), "none", True, "dice"),
    17: Preset((R, D), "none", True, "bce"),
    18: Preset((R, D), "none", True, "dice"),
    19: Preset((D, E), "none", False, "bce"),
    20: Preset((D, E), "none", False, "dice"),
    21: Preset(tuple(LITE), "cbam", False, "bce", "concat"),
}
"""Tables 1 and 2 of Anari et al., Scientific Reports 2025, doi 10.1038/s41598-024-84504-y, by number of the model; 21
is ours, with encoders whose weights learned on photographs are in packages."""


def get_preset(model_id: int) -> Preset:
    """Return the row of a model.

    Raises:
        UserError: no number from 1 to 21.
    """
    check_choice("model_id", model_id, PRESETS)
    return PRESETS[model_id]


def loss_name(model_id: int, loss: str | None) -> str:
    """Return ``loss``, or where it is ``None`` that of a model of the paper.

    Raises:
        UserError: as :func:`get_preset`.
    """
    return get_preset(model_id).loss if loss is None else loss


def multi_encoder(
    *,
    model_id: int = 1,
    encoders: Sequence[str] | None = None,
    attention: str | None = None,
    freeze_encoders: bool | None = None,
    skip: str | None = None,
    relu6_throughout: bool = False,
    dropout: float = DROPOUT_RATE,
    in_channels: int = 1,
    out_channels: int = 1,
) -> MultiEncoderUNet:
    """Make the :class:`~bus_monai.networks.multi_encoder_unet.MultiEncoderUNet` of a model of the paper.

    Args:
        model_id: 1 to 20, the model of the paper that gives each of the next four where it is ``None``, or 21, ours;
            an option that is given wins over the model.
        encoders: as there.
        attention: as there.
        freeze_encoders: as there.
        skip: as there; the paper's models add.
        relu6_throughout: as there.
        dropout: as there.
        in_channels: as there.
        out_channels: as there.

    Returns:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Raises:
        UserError: as there, or an unknown ``model_id``.

    Example:
        >>> sum(p.numel() for p in multi_encoder(model_id=17).parameters())
        19117569
    """
    preset = get_preset(model_id)
    return MultiEncoderUNet(
        in_channels=in_channels,
        out_channels=out_channels,
        encoders=preset.encoders if encoders is None else encoders,
        attention=preset.attention if attention is None else attention,
        freeze_encoders=preset.freeze_encoders if freeze_encoders is None else freeze_encoders,
        skip=preset.skip if skip is None else skip,
        relu6_throughout=relu6_throughout,
        dropout=dropout,
    )
