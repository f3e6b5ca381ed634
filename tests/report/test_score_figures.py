"""The curves of a run."""

from __future__ import annotations

import pytest

from bus_monai.report.score_figures import curves_figure


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_ticks_are_whole_epochs(epochs: int) -> None:
    history = [{"epoch": float(epoch), "g_region_loss": 1 / epoch, "val_dice": 0.5} for epoch in range(1, epochs + 1)]
    for axis in curves_figure(history).axes:
        low, high = axis.get_xlim()
        ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
        assert all(tick == int(tick) for tick in ticks)
        assert len(ticks) >= min(epochs, 2) or not axis.lines
