"""The curves of a run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bus_monai.metrics.classification import ROC_GRID
from bus_monai.metrics.operating_curves import BlandAltman
from bus_monai.report.score_figures import agreement_figure, curves_figure, fold_roc_figure


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_ticks_are_whole_epochs(epochs: int) -> None:
    history = [{"epoch": float(epoch), "g_region_loss": 1 / epoch, "val_dice": 0.5} for epoch in range(1, epochs + 1)]
    for axis in curves_figure(history).axes:
        low, high = axis.get_xlim()
        ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
        assert all(tick == int(tick) for tick in ticks)
        assert len(ticks) >= min(epochs, 2) or not axis.lines


@pytest.mark.parametrize("most", [0.0, 40.0])
def test_limits_of_agreement_can_be_read_where_they_lie_together(most: float) -> None:
    first = np.linspace(5, 30, 300)
    agreement = BlandAltman.of([*first, 20 + most], [*first, 20], "mm")
    assert agreement is not None
    figure = agreement_figure(agreement, what="long axis")
    FigureCanvasAgg(figure).draw()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))
    told = [text.get_text().split() for text in figure.axes[0].texts]
    assert [float(value) for *_, value in told] == pytest.approx(
        [agreement.low, agreement.bias, agreement.high], rel=5e-3
    )


def test_the_spread_over_folds_is_that_of_a_sample() -> None:
    figure = fold_roc_figure([ROC_GRID, np.sqrt(ROC_GRID)], [0.5, 0.7])
    (axis,) = figure.axes
    (told,) = axis.get_legend().get_texts()
    assert told.get_text() == "mean of 2 folds, AUC 0.600 ± 0.141"
    mean, half = (ROC_GRID + np.sqrt(ROC_GRID)) / 2, (np.sqrt(ROC_GRID) - ROC_GRID) / np.sqrt(2)
    low = axis.collections[0].get_paths()[0].vertices[: len(ROC_GRID) + 1, 1]
    assert low[1:] == pytest.approx(mean - half)
