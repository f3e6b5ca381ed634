"""Losses between predicted and true masks: a weighted sum of terms, and the loss of the lite U-Net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.losses.dice import DiceLoss
from monai.losses.ssim_loss import SSIMLoss
from torch import Tensor, nn
from torch.nn import functional as F

from bus_monai.errors import check_choice, check_number
from bus_monai.networks.lite_unet import CELL_PX

NAMED_WEIGHTS = {"bce": {"bce": 1.0}, "dice": {"dice": 1.0}, "bce_dice": {"bce": 1.0, "dice": 1.0}}
"""Weights of the losses that have a name."""
DEEP_DECAY = 0.5
"""Each coarser map counts this much less than the one before it."""


class RegionLoss(nn.Module):
    """Weighted sum of mask losses on ``p = sigmoid(logits)``, the region loss of an adversarial trainer.

    The ultrasound cGAN has ``RegionLoss(l1=10, ssim=5)`` (Singh et al., Expert Systems with Applications 2020, doi
    10.1016/j.eswa.2020.113870; the weights are not in print), the mammogram cGAN ``RegionLoss(dice=150)`` (doi
    10.1016/j.eswa.2019.112855). ``l1`` and ``ssim`` compare ``2p - 1`` with the mask in {-1, 1}, as their code does: in
    [0, 1] the windows of structural similarity prefer an empty mask to a right one that is not yet sure.

    Args:
        l1: weight of the mean absolute difference, twice that of ``p`` from the mask in {0, 1}.
        ssim: weight of 1 minus the mean structural similarity over all windows of 11x11 pixels inside the image,
            Gaussian with sigma 1.5 (Wang et al., IEEE TIP 2004, doi 10.1109/TIP.2003.819861), by MONAI; of values whose
            range is 2.
        dice: weight of ``1 - (2 * sum(p * mask) + 1) / (sum(p) + sum(mask) + 1)``, the mean over the images.
        bce: weight of binary cross-entropy, the mean over the pixels.

    Shape:
        logits (B, 1, H, W) and mask (B, 1, H, W) with values in {0, 1} to a scalar, 0 without a term; with ``ssim``,
        H and W at least 11.

    Raises:
        UserError: a weight below 0 or not finite.

    Example:
        >>> import torch
        >>> logits, mask = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
        >>> RegionLoss(l1=10)(logits, mask)
        tensor(10.)
    """

    def __init__(self, *, l1: float = 0.0, ssim: float = 0.0, dice: float = 0.0, bce: float = 0.0) -> None:
        super().__init__()
        self.weights = {"l1": l1, "ssim": ssim, "dice": dice, "bce": bce}
        for name, weight in self.weights.items():
            check_number(f"{name} of the region loss", weight, at_least=0)
        self._ssim = SSIMLoss(spatial_dims=2, data_range=2.0)
        self._dice = DiceLoss(smooth_nr=1.0, smooth_dr=1.0)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the terms whose weight is not 0."""
        p = logits.sigmoid()
        terms: dict[str, Callable[[], Tensor]] = {
            "l1": lambda: F.l1_loss(2 * p, 2 * mask),
            "ssim": lambda: self._ssim(2 * p - 1, 2 * mask - 1),
            "dice": lambda: self._dice(p, mask),
            # on logits: the logarithm of a sigmoid that has reached 0 is lost
            "bce": lambda: F.binary_cross_entropy_with_logits(logits, mask),
        }
        # starts from the logits, so that the sum has a gradient even without a term
        total = 0 * logits.sum()
        for name, weight in self.weights.items():
            if weight:
                total = total + weight * terms[name]()
        return total


def make_region_loss(name: str) -> RegionLoss:
    """Make the loss called ``bce``, ``dice`` or ``bce_dice``, the sum of both.

    Raises:
        UserError: unknown name.

    Example:
        >>> {name for name, weight in make_region_loss("bce_dice").weights.items() if weight} == {"bce", "dice"}
        True
    """
    check_choice("loss", name, NAMED_WEIGHTS)
    return RegionLoss(**NAMED_WEIGHTS[name])


class LiteLoss(nn.Module):
    """Binary cross-entropy and Dice of the mask, cross-entropy of whether there is a lesion, and coarser maps' losses.

    The Dice term is that of images with a lesion alone: in one without, all soft Dice has to go by is its smoothing,
    and the cross-entropy says the same with a gradient that does not vanish. With a presence head the cross-entropy of
    the mask is, too: what is not there is the head's business, and the map need not learn to say nothing in doubt.

    Args:
        presence_head: whether the second channel is the presence logit of
            :class:`~bus_monai.networks.lite_unet.LiteUNet`.
        presence_cells: whether the third channel is that of its cells; only with ``presence_head``.
        presence_weight: of the cross-entropy of the presence, and of that of the cells.

    Shape:
        what the network gives while training, (B, C, H, W), and mask (B, 1, H, W) with values in {0, 1} to a scalar.

    Example:
        >>> mask = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
        >>> bool(LiteLoss()(20 * (2 * mask - 1), mask) < 0.01 < LiteLoss()(torch.zeros(1, 1, 2, 2), mask))
        True
    """

    def __init__(
        self, *, presence_head: bool = False, presence_cells: bool = False, presence_weight: float = 0.2
    ) -> None:
        super().__init__()
        self.presence_head = presence_head
        self.presence_cells = presence_head and presence_cells
        self.presence_weight = presence_weight
        self._dice, self._bce = RegionLoss(dice=1.0), RegionLoss(bce=1.0)

    def forward(self, output: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the terms."""
        has_lesion = mask.flatten(1).any(dim=1)
        maps = torch.split(output, 1, dim=1)
        total = output.new_zeros(())
        if self.presence_head:
            presence, maps = maps[1][:, 0, 0, 0], maps[:1] + maps[2:]
            entropy = F.binary_cross_entropy_with_logits(presence, has_lesion.float())
            total = total + self.presence_weight * entropy
        if self.presence_cells:
            # the presence is gone already
            cells, maps = maps[1], maps[:1] + maps[2:]
            total = total + self.presence_weight * F.binary_cross_entropy_with_logits(cells, in_cells(mask))
        weights = [DEEP_DECAY**i for i in range(len(maps))]
        for weight, logits in zip(weights, maps, strict=True):
            total = total + weight / sum(weights) * self._region(logits, mask, has_lesion)
        return total

    def _region(self, logits: Tensor, mask: Tensor, has_lesion: Tensor) -> Tensor:
        taught = has_lesion if self.presence_head else torch.ones_like(has_lesion)
        # of no image at all the sum is 0, with a gradient
        loss: Tensor = self._bce(logits[taught], mask[taught]) if torch.any(taught) else logits[taught].sum()
        return loss + self._dice(logits[has_lesion], mask[has_lesion]) if torch.any(has_lesion) else loss


def in_cells(mask: Tensor) -> Tensor:
    """Return the mask with each cell of the deepest features filled or empty, at its full size.

    A cell is filled where any of its pixels is lesion; at the lower and right edge cells may be cut.

    Args:
        mask: (B, 1, H, W), values in {0, 1}.
    """
    coarse = F.max_pool2d(mask, CELL_PX, ceil_mode=True)
    return coarse.repeat_interleave(CELL_PX, 2).repeat_interleave(CELL_PX, 3)[:, :, : mask.shape[2], : mask.shape[3]]
