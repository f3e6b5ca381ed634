"""The one-cycle rate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR

from bus_monai.engines.one_cycle import END, START, one_cycle


@given(st.integers(1, 200))
def test_one_rise_and_one_fall_between_the_ends(epochs: int) -> None:
    factors = [one_cycle(epochs)(epoch) for epoch in range(epochs)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[0] == pytest.approx(START)
    assert factors[-1] == pytest.approx(END if epochs > 1 else START)


def test_a_run_may_go_on_for_longer_than_it_was_planned() -> None:
    def scheduler(epochs: int) -> LambdaLR:
        return LambdaLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), one_cycle(epochs))

    first = scheduler(2)
    for _ in range(2):
        first.optimizer.step()
        first.step()
    longer = scheduler(11)
    longer.load_state_dict(first.state_dict())
    longer.optimizer.step()
    longer.step()
    assert longer.get_last_lr() == [1.0]
