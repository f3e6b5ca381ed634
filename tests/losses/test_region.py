"""Each term of the region loss against plain NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bus_monai.losses.region import LiteLoss, RegionLoss, in_cells, make_region_loss
from tests.user_errors import raises_user_error


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


def test_cells_learn_where_a_lesion_is_from_all_images() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, 64, 70)
    mask[0, 0, 30:34, 5:20] = 1
    output = torch.randn(2, 3, 64, 70)
    filled = torch.zeros(2, 64, 70)
    filled[0, :, :32] = 1
    assert torch.equal(in_cells(mask)[:, 0], filled)
    without = LiteLoss(presence_head=True, presence_weight=0.3)(output[:, :2], mask)
    loss = LiteLoss(presence_head=True, presence_cells=True, presence_weight=0.3)(output, mask)
    torch.testing.assert_close(loss - without, 0.3 * F.binary_cross_entropy_with_logits(output[:, 2], filled))


SIDE = 13


def l1(p: NDArray, y: NDArray) -> float:
    return float(np.abs((2 * p - 1) - (2 * y - 1)).mean())


def bce(p: NDArray, y: NDArray) -> float:
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def dice_region(p: NDArray, y: NDArray) -> float:
    return float(np.mean([1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1) for a, b in zip(p, y, strict=True)]))


def ssim(p: NDArray, y: NDArray) -> float:
    p, y = 2 * p - 1, 2 * y - 1
    distance = np.arange(11) - 5
    bell = np.exp(-(distance**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2
    values = []
    for a, b in zip(p[:, 0], y[:, 0], strict=True):
        for row in range(a.shape[0] - 10):
            for column in range(a.shape[1] - 10):
                u, v = a[row : row + 11, column : column + 11], b[row : row + 11, column : column + 11]
                mu, nu = (window * u).sum(), (window * v).sum()
                su, sv = (window * (u - mu) ** 2).sum(), (window * (v - nu) ** 2).sum()
                suv = (window * (u - mu) * (v - nu)).sum()
                brightness = (2 * mu * nu + 0.02**2) / (mu**2 + nu**2 + 0.02**2)
                values.append(brightness * (2 * suv + 0.06**2) / (su + sv + 0.06**2))
    return 1 - float(np.mean(values))


TERMS = {"l1": l1, "ssim": ssim, "dice": dice_region, "bce": bce}


def example(seed: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    logits = 2 * torch.randn(batch, 1, SIDE, SIDE + 2, dtype=torch.float64)
    return logits, (torch.rand_like(logits) > 0.6).double()


@pytest.mark.parametrize(("name", "term"), TERMS.items())
@settings(max_examples=8)
@given(seed=st.integers(0, 999), weight=st.floats(0.1, 200), batch=st.integers(1, 3))
def test_each_term(name: str, term: Callable[[NDArray, NDArray], float], seed: int, weight: float, batch: int) -> None:
    logits, mask = example(seed, batch)
    expected = weight * term(1 / (1 + np.exp(-logits.numpy())), mask.numpy())
    # MONAI computes the structural similarity in single precision
    assert float(RegionLoss(**{name: weight})(logits, mask)) == pytest.approx(expected, rel=1e-5)


def test_terms_add_up() -> None:
    logits, mask = example(0)
    p, y = logits.sigmoid().numpy(), mask.numpy()
    loss = RegionLoss(l1=10, ssim=5, dice=150, bce=2)(logits, mask)
    expected = 10 * l1(p, y) + 5 * ssim(p, y) + 150 * dice_region(p, y) + 2 * bce(p, y)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", TERMS)
def test_gradient(name: str) -> None:
    logits, mask = example(1)
    logits.requires_grad_()
    loss = RegionLoss(**{name: 1.0})
    # single precision inside MONAI's structural similarity wants a longer step
    eps, atol, rtol = (1e-1, 1e-5, 5e-2) if name == "ssim" else (1e-6, 1e-8, 1e-5)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask), (logits,), eps=eps, atol=atol, rtol=rtol)


def test_structural_similarity_prefers_an_unsure_mask_to_an_empty_one() -> None:
    """A lesion of a tenth of the image, and masks of 0.9 and 0.1, and of nothing."""
    rows, columns = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    mask = ((rows - 64) ** 2 + (columns - 64) ** 2 < 0.1 * 128**2 / torch.pi).float()[None, None]
    right, empty = (float(RegionLoss(ssim=1)(logits, mask)) for logits in ((2 * mask - 1) * 2.1972, mask * 0 - 20))
    assert (right, empty) == pytest.approx((0.027, 0.244), abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_mask_costs_nothing(value: float) -> None:
    mask = torch.full((1, 1, 16, 16), value)
    loss = RegionLoss(l1=10, ssim=5, dice=150, bce=1)(100 * (2 * mask - 1), mask)
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_a_certain_mistake_still_has_a_gradient() -> None:
    logits = torch.full((1, 1, 16, 16), -200.0, requires_grad=True)
    RegionLoss(bce=1)(logits, torch.ones(1, 1, 16, 16)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.full_like(logits, -1 / 256))


def test_without_a_term_it_is_zero_and_has_a_gradient() -> None:
    logits, mask = example(0)
    loss = RegionLoss(l1=0)(logits.requires_grad_(), mask)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not bool(logits.grad.any())


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_wrong_weight_is_named(weight: float) -> None:
    with raises_user_error(weight, 0, key="dice of the region loss"):
        RegionLoss(dice=weight)


@pytest.mark.parametrize(("name", "terms"), [("bce", [bce]), ("dice", [dice_region]), ("bce_dice", [bce, dice_region])])
def test_losses_with_a_name(name: str, terms: list[Callable[[NDArray, NDArray], float]]) -> None:
    logits, mask = example(3)
    expected = sum(term(logits.sigmoid().numpy(), mask.numpy()) for term in terms)
    assert float(make_region_loss(name)(logits, mask)) == pytest.approx(expected, rel=1e-6)


def test_an_unknown_name_is_told_what_there_is() -> None:
    with raises_user_error("focal", "bce", "dice", "bce_dice", key="loss"):
        make_region_loss("focal")
