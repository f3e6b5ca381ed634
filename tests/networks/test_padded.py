"""Padding to multiples."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bus_monai.networks.padded import Padded


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
