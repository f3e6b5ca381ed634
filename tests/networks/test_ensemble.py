"""An ensemble averages probabilities."""

from __future__ import annotations

import torch
from torch import nn

from bus_monai.networks.ensemble import Ensemble


class Shift(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.by


def test_probabilities_are_averaged() -> None:
    x = torch.linspace(-6, 6, 50).reshape(1, 1, 5, 10)
    members = [Shift(-2.0), Shift(0.5), Shift(3.0)]
    expected = torch.stack([member(x).sigmoid() for member in members]).mean(dim=0)
    torch.testing.assert_close(Ensemble(members)(x).sigmoid(), expected)


def test_far_logits_stay_finite_and_one_member_is_itself() -> None:
    x = torch.tensor([-200.0, -50, 0, 50, 200]).reshape(1, 1, 1, 5)
    torch.testing.assert_close(Ensemble([Shift(0.0), Shift(0.0)])(x), x)
    assert bool(torch.isfinite(Ensemble([Shift(-100.0), Shift(100.0)])(x)).all())


def test_it_can_be_scripted() -> None:
    ensemble = Ensemble([Shift(-1.0), Shift(1.0)])
    x = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(torch.jit.script(ensemble)(x), ensemble(x))
