"""Each term of ASSGAN's losses against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.losses.mutual_supervision import MutualSupervision
from tests.user_errors import raises_user_error

RNG = np.random.default_rng(0)
LOGITS, TEACHER = RNG.normal(size=(2, 3, 1, 4, 5)) * 3
SCORES = np.array([-1.0, 0.2, 2.0]).reshape(3, 1, 1, 1) + RNG.normal(size=(3, 1, 2, 2)) * 0.1


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits: np.ndarray, target: np.ndarray | float) -> np.ndarray:
    p = sigmoid(logits)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def test_masks_are_trusted_by_their_mean_realism() -> None:
    trusted = MutualSupervision(gamma=0.5).trusted(torch.from_numpy(SCORES), (4, 5)).numpy()
    assert (sigmoid(SCORES).mean(axis=(1, 2, 3)) > 0.5).tolist() == [False, True, True]
    assert trusted.shape == (3, 1, 4, 5)
    assert [set(image.ravel().tolist()) for image in trusted] == [{0.0}, {1.0}, {1.0}]


def test_confidence_is_the_mean_of_probabilities_not_of_logits() -> None:
    # mean logit 1, mean probability 0.479
    scores = torch.tensor([10.0, -4.0, -4.0, 2.0]).reshape(1, 1, 2, 2)
    assert float(MutualSupervision(gamma=0.5).trusted(scores, (1, 1))) == 0.0


def test_pixels_are_trusted_where_their_interpolated_realism_is_high() -> None:
    scores = torch.tensor([[-3.0, 3.0]]).reshape(1, 1, 1, 2)
    loss = MutualSupervision(gamma=0.7, confidence="pixel")
    # bilinear at four centers: -3, -1.5, 1.5, 3
    assert (sigmoid(np.array([-3, -1.5, 1.5, 3])) > 0.7).tolist() == [False, False, True, True]
    assert loss.trusted(scores, (2, 4))[0, 0].tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.parametrize("confidence", ["mask_mean", "pixel"])
def test_semi_loss_averages_over_what_is_trusted(confidence: str) -> None:
    loss = MutualSupervision(gamma=0.55, confidence=confidence)
    trusted = loss.trusted(torch.from_numpy(SCORES), (4, 5))
    each = cross_entropy(LOGITS, (TEACHER > 0).astype(float))
    expected = each[trusted.numpy() == 1].mean()
    got = loss.semi_loss(torch.from_numpy(LOGITS), torch.from_numpy(TEACHER), trusted)
    assert float(got) == pytest.approx(expected, rel=1e-12)


def test_nothing_trusted_teaches_nothing() -> None:
    logits = torch.from_numpy(LOGITS).requires_grad_()
    loss = MutualSupervision().semi_loss(logits, torch.from_numpy(TEACHER), torch.zeros(3, 1, 4, 5))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(logits.grad.abs().max()) == 0.0


def test_the_teacher_gets_no_gradient() -> None:
    teacher = torch.from_numpy(TEACHER).requires_grad_()
    logits = torch.from_numpy(LOGITS).requires_grad_()
    MutualSupervision().semi_loss(logits, teacher, torch.ones(3, 1, 4, 5)).backward()
    assert teacher.grad is None
    assert float(logits.grad.abs().min()) > 0


def test_sides_of_the_game() -> None:
    loss, real, fakes = MutualSupervision(), LOGITS[:2], [TEACHER[:1], TEACHER[1:]]
    d = cross_entropy(real, 1.0).mean() + 0.5 * sum(cross_entropy(fake, 0.0).mean() for fake in fakes)
    got = loss.discriminator_loss(torch.from_numpy(real), [torch.from_numpy(fake) for fake in fakes])
    assert float(got) == pytest.approx(d, rel=1e-12)
    g = cross_entropy(TEACHER, 1.0).mean()
    assert float(loss.adversarial_loss(torch.from_numpy(TEACHER))) == pytest.approx(g, rel=1e-12)


GAMMAS = st.floats(0, 1, exclude_min=True, exclude_max=True)


@given(GAMMAS, GAMMAS, st.sampled_from(["mask_mean", "pixel"]))
@settings(max_examples=50)
def test_a_higher_gamma_never_trusts_more(one: float, other: float, confidence: str) -> None:
    few, many = (
        MutualSupervision(gamma=gamma, confidence=confidence).trusted(torch.from_numpy(SCORES), (4, 5))
        for gamma in (max(one, other), min(one, other))
    )
    assert bool((few <= many).all())


def test_wrong_options_are_named() -> None:
    for gamma in (1.5, 1, 0, -0.1, float("nan")):
        with raises_user_error(gamma, 0, 1, 0.5, key="gamma"):
            MutualSupervision(gamma=gamma)
    with raises_user_error("mean", "mask_mean", "pixel", key="confidence"):
        MutualSupervision(confidence="mean")
