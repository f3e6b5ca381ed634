"""Losses of mutual supervision: pseudo-labels that a discriminator trusts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite import distributed as idist
from torch import Tensor
from torch.nn import functional as F

from bus_monai.errors import check_choice, check_number

CONFIDENCES = ("mask_mean", "pixel")
GAMMAS = tuple(step / 20 for step in range(1, 20))
"""Confidences at which the share of trusted masks is told."""


class MutualSupervision:
    """The losses of ASSGAN: which pseudo-labels are trusted, and what follows for both sides.

    Zhai et al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021, Eqs. 2 to 4. Its Eq. 4 names labeled
    images and no target, both misprints.

    Args:
        gamma: confidence above which a pseudo-label is trusted, in (0, 1); the paper's 0.5.
        confidence: ``mask_mean``, one confidence per mask, the mean realism of its regions; or ``pixel``, the realism
            interpolated to each pixel, as in Hung et al. (BMVC 2018, arXiv 1802.07934).

    Raises:
        UserError: gamma outside (0, 1) or unknown confidence.

    Example:
        >>> import torch
        >>> realism = torch.tensor([2.0, -2.0]).reshape(2, 1, 1, 1)
        >>> MutualSupervision().trusted(realism, (1, 2)).flatten().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, *, gamma: float = 0.5, confidence: str = "mask_mean") -> None:
        check_number("gamma", gamma, above=0, below=1, hint="the paper's is 0.5")
        check_choice("confidence", confidence, CONFIDENCES)
        self.gamma = gamma
        self.confidence = confidence

    def trusted(self, realism: Tensor, size: Sequence[int]) -> Tensor:
        """Return where pseudo-labels are trusted.

        Args:
            realism: the discriminator's logits of the predicted masks, (B, 1, h, w).
            size: H and W of the masks.

        Returns:
            (B, 1, H, W), 1 where the confidence exceeds gamma, 0 elsewhere; the same for all pixels of an image with
            ``mask_mean``.
        """
        return (self.confidences(realism, size) > self.gamma).to(realism.dtype)

    def confidences(self, realism: Tensor, size: Sequence[int]) -> Tensor:
        """Return what :meth:`trusted` compares with gamma, (B, 1, H, W) in [0, 1]."""
        if self.confidence == "mask_mean":
            return realism.sigmoid().mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, *size)
        return F.interpolate(realism, size=list(size), mode="bilinear", align_corners=False).sigmoid()

    def semi_loss(self, logits: Tensor, teacher_logits: Tensor, trusted: Tensor) -> Tensor:
        """Return the cross-entropy with the teacher's mask, averaged over what is trusted; 0 where nothing is.

        Of several processes each divides by the mean of their counts, so that the mean of their gradients is the
        gradient of the average over what all trust.

        Args:
            logits: of the network that learns, (B, 1, H, W).
            teacher_logits: of the other network, whose mask is where they exceed 0; no gradient goes there.
            trusted: (B, 1, H, W) in {0, 1}, of the teacher's masks.

        Returns:
            A scalar.
        """
        mask = (teacher_logits.detach() > 0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
        processes = idist.get_world_size()
        count: Tensor = idist.all_reduce(trusted.sum()) / processes
        return (each * trusted).sum() / count.clamp(min=1 / processes)

    def adversarial_loss(self, fake_logits: Tensor) -> Tensor:
        """Return the non-saturating adversarial loss of predicted masks scored (B, 1, h, w), a scalar."""
        return F.softplus(-fake_logits).mean()

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Sequence[Tensor]) -> Tensor:
        """Return the discriminator's cross-entropy, a scalar.

        Args:
            real_logits: scores of real masks, (B, 1, h, w).
            fake_logits: scores of the masks of each generator; they count as much as the real ones together.
        """
        fake = torch.stack([F.softplus(logits).mean() for logits in fake_logits])
        return F.softplus(-real_logits).mean() + fake.mean()
