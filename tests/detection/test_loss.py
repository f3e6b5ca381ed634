"""MultiBox loss against a plain reference."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.detection.boxes import BOX_CODER, find_boxes, match_boxes
from bus_monai.detection.loss import MultiBoxLoss, hard_negatives


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_the_hardest_negatives_three_a_positive(seed: int, positives: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    loss = torch.rand(2, 15, generator=rng)
    positive = torch.zeros(2, 15, dtype=torch.bool)
    positive[0, torch.randperm(15, generator=rng)[:positives]] = True
    chosen = hard_negatives(loss, positive)
    free = sorted((-float(loss[0, d]), d) for d in range(15) if not positive[0, d])
    assert set(chosen[0].nonzero().flatten().tolist()) == {d for _, d in free[: 3 * positives]}
    assert not chosen[1].any()


def test_against_loops() -> None:
    torch.manual_seed(0)
    loss = MultiBoxLoss()
    offsets = torch.randn(2, 8732, 4) * 0.5
    logits = torch.randn(2, 8732, 2)
    truths = [torch.tensor([[0.2, 0.3, 0.5, 0.5], [0.6, 0.6, 0.9, 0.95]]), torch.zeros(0, 4)]

    matched = match_boxes(truths[0], loss.defaults).tolist()
    total, negatives, positives = 0.0, [], 0
    for d, truth in enumerate(matched):
        a, b = logits[0, d].tolist()
        if truth < 0:
            negatives.append(math.log(1 + math.exp(b - a)))
            continue
        positives += 1
        total += math.log(1 + math.exp(a - b))
        wanted = BOX_CODER.encode_single(truths[0][truth][None], loss.defaults[d][None])[0]
        for x, y in zip(offsets[0, d].tolist(), wanted.tolist(), strict=True):
            total += 0.5 * (x - y) ** 2 if abs(x - y) < 1 else abs(x - y) - 0.5
    total += sum(sorted(negatives)[-3 * positives :])
    assert positives > 5
    assert float(loss(offsets, logits, truths)) == pytest.approx(total / positives, rel=1e-4)


def test_a_batch_without_boxes_has_loss_0_and_gradient_0() -> None:
    offsets, logits = torch.randn(1, 8732, 4, requires_grad=True), torch.randn(1, 8732, 2, requires_grad=True)
    value = MultiBoxLoss()(offsets, logits, [torch.zeros(0, 4)])
    value.backward()
    assert value.item() == 0
    assert float(logits.grad.abs().sum()) == 0


def test_the_least_loss_finds_the_boxes() -> None:
    """Loss, coding, matching and post-processing agree: outputs that minimize the loss are found as the true boxes."""
    loss = MultiBoxLoss()
    truths = [torch.tensor([[0.2, 0.3, 0.5, 0.5], [0.6, 0.6, 0.9, 0.95]]), torch.tensor([[0.41, 0.42, 0.45, 0.47]])]
    offsets, logits = torch.zeros(2, 8732, 4, requires_grad=True), torch.zeros(2, 8732, 2, requires_grad=True)
    optimizer = torch.optim.Adam([offsets, logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(offsets, logits, truths)
        value.backward()
        optimizer.step()
    # mining has not come round to every negative, so that some are still undecided
    found = find_boxes(offsets, logits, loss.defaults, min_score=0.8)
    for one, true in zip(found, truths, strict=True):
        order = one.boxes[:, 0].argsort()
        torch.testing.assert_close(one.boxes[order], true, atol=0.01, rtol=0)
