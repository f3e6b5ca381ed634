"""The figure of an explained image."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bus_monai.explain.explanation import Explanation, ExplanationMap
from bus_monai.report.image_figures import PREDICTION_COLOR, TRUTH_COLOR, add_legend, draw_contour, image_grid

EXPLANATION_COLUMNS = 4


SALIENCY_OPACITY = 0.55


SALIENCY_COLORS = "inferno"


def explanation_figure(explanation: Explanation, name: str) -> Figure:
    """Draw the image with truth and prediction, then each map over the image.

    A map of pixels has the contours too, a color bar from 0 to its largest value, and the share of its energy inside
    the lesion where that is known; weights of channels are bars.

    Args:
        explanation: of the image.
        name: of the image.
    """
    height, width = explanation.image.shape
    # from the image's form, so that the panels touch
    tall = min(max(4.2 * height / width, 2.2), 6.0)
    figure, axes = image_grid(2 + len(explanation.maps), (4.4, tall + 0.6), below=0.8, columns=EXPLANATION_COLUMNS)
    axes[0].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image", fontsize=10)
    axes[1].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    _contours(axes[1], explanation)
    axes[1].set_title("truth and prediction" if explanation.truth is not None else "prediction", fontsize=10)
    for axis, one in zip(axes[2:], explanation.maps, strict=False):
        if one.values.ndim == 1:
            _draw_channels(axis, one)
        else:
            _draw_pixels(axis, one, explanation)
    outlines = {"prediction": PREDICTION_COLOR}
    if explanation.truth is not None:
        outlines = {"truth": TRUTH_COLOR} | outlines
    add_legend(figure, outlines)
    figure.suptitle(name)
    return figure


def _draw_pixels(axis: Axes, one: ExplanationMap, explanation: Explanation) -> None:
    axis.imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    drawn = axis.imshow(
        one.values, cmap=SALIENCY_COLORS, alpha=SALIENCY_OPACITY, vmin=0, vmax=float(one.values.max()) or 1.0
    )
    _contours(axis, explanation)
    bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.8)
    bar.ax.tick_params(labelsize=7)
    energy, chance = explanation.energy(one), explanation.chance
    inside = "" if energy is None else f"\n{energy:.0%} inside, chance {chance:.0%}"
    axis.set_title(one.title + inside, fontsize=10)


def _draw_channels(axis: Axes, one: ExplanationMap) -> None:
    axis.axis("on")
    axis.bar(np.arange(one.values.size), one.values, width=1.0)
    axis.set(ylim=(0, 1), xlabel="channel", ylabel="weight")
    axis.set_title(one.title, fontsize=10)


def _contours(axis: Axes, explanation: Explanation) -> None:
    if explanation.truth is not None:
        draw_contour(axis, explanation.truth, 0.5, TRUTH_COLOR)
    draw_contour(axis, explanation.prediction, 0.5, PREDICTION_COLOR)
