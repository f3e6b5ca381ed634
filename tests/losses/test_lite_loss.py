"""The small U-Net's loss: each term against its formula, and nothing gained from nonsense on images without lesion."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bus_monai.losses.lite_loss import LiteLoss


def batch(channels: int) -> tuple[Tensor, Tensor]:
    """Two images of 8 x 8, the first with a lesion of 16 pixels."""
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2:6, 2:6] = 1
    return torch.randn(2, channels, 8, 8), mask


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.sigmoid()
    return 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)


def region(logits: Tensor, mask: Tensor, images: int = 2) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits[:images], mask[:images]) + dice(logits[0], mask[0])


def test_dice_is_that_of_images_with_a_lesion() -> None:
    logits, mask = batch(1)
    torch.testing.assert_close(LiteLoss()(logits, mask), region(logits, mask))


def test_without_a_lesion_cross_entropy_alone_remains() -> None:
    logits, mask = batch(1)
    expected = F.binary_cross_entropy_with_logits(logits[1:], mask[1:])
    torch.testing.assert_close(LiteLoss()(logits[1:], mask[1:]), expected)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_presence_and_coarser_maps_are_weighted(channels: int) -> None:
    output, mask = batch(channels)
    presence_head = channels != 4
    if presence_head:
        output[:, 1] = torch.tensor([1.5, -2.0])[:, None, None]
    maps = [output[:, i : i + 1] for i in range(channels) if not (presence_head and i == 1)]
    weights = [0.5**i for i in range(len(maps))]
    taught = 1 if presence_head else 2
    expected = sum(w * region(y, mask, taught) for w, y in zip(weights, maps, strict=True)) / sum(weights)
    if presence_head:
        expected += 0.3 * F.binary_cross_entropy_with_logits(torch.tensor([1.5, -2.0]), torch.tensor([1.0, 0.0]))
    loss = LiteLoss(presence_head=presence_head, presence_weight=0.3)
    torch.testing.assert_close(loss(output, mask), expected)


def test_with_a_presence_head_an_image_without_lesion_teaches_the_presence_alone() -> None:
    output, mask = batch(2)
    output = output[1:].requires_grad_()
    loss = LiteLoss(presence_head=True, presence_weight=0.3)(output, mask[1:])
    torch.testing.assert_close(loss, 0.3 * F.binary_cross_entropy_with_logits(output[:, 1, 0, 0], torch.zeros(1)))
    loss.backward()
    assert output.grad is not None
    assert not output.grad[:, 0].any()


def test_more_false_lesion_in_a_normal_image_never_pays() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    losses = [float(LiteLoss()(torch.full((1, 1, 8, 8), logit), mask)) for logit in (-6.0, -2.0, 0.0, 2.0, 6.0)]
    assert losses == sorted(losses)
    assert losses[0] < 0.01
