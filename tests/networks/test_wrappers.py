"""An ensemble averages probabilities."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bus_monai.networks.wrappers import Ensemble, Padded


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


class Seen(nn.Module):
    """Keep what comes in, give it back."""

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return x


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
@settings(max_examples=50)
def test_the_network_sees_multiples_and_the_caller_his_own_size(height: int, width: int, multiple: int) -> None:
    seen = Seen()
    x = torch.rand(1, 2, height, width)
    assert torch.equal(Padded(seen, multiple)(x), x)
    sides = seen.x.shape[2:]
    assert [side % multiple for side in sides] == [0, 0]
    assert sides[0] - height < multiple
    assert sides[1] - width < multiple


def test_the_border_is_repeated() -> None:
    seen = Seen()
    Padded(seen, 4)(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    assert seen.x[0, 0].tolist() == [[1.0, 2.0, 3.0, 3.0]] * 4
