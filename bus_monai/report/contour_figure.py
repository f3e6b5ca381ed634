"""Images with the contours of truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bus_monai.report.image_grid import add_legend, image_grid

TRUTH_COLOUR = "#2ca02c"
PREDICTION_COLOUR = "#ff7f0e"
"""Green and orange: told apart in the common forms of colour blindness, and from grey."""


def contour_figure(
    images: Sequence[NDArray[np.floating]],
    truths: Sequence[NDArray[np.floating]],
    probabilities: Sequence[NDArray[np.floating]],
    titles: Sequence[str],
    *,
    threshold: float = 0.5,
) -> Figure:
    """Draw each image with the contour of its true mask and of the thresholded prediction.

    Args:
        images: (H, W), values in [0, 1].
        truths: (H, W), values in {0, 1}.
        probabilities: (H, W), values in [0, 1].
        titles: one an image.
        threshold: from which on a pixel is predicted lesion.

    Returns:
        A figure with up to three images a row.
    """
    figure, axes = image_grid(len(images), (4, 4.2), below=0.5)
    for axis, image, truth, probability, title in zip(axes, images, truths, probabilities, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        draw_contour(axis, truth, 0.5, TRUTH_COLOUR)
        draw_contour(axis, probability, threshold, PREDICTION_COLOUR)
        axis.set_title(title, fontsize=10)
    add_legend(figure, {"truth": TRUTH_COLOUR, "prediction": PREDICTION_COLOUR})
    return figure


def draw_contour(axis: Axes, values: NDArray[np.floating] | NDArray[np.bool_], level: float, colour: str) -> None:
    """Draw where values (H, W) reach a level; nothing where they do so nowhere or everywhere."""
    if values.min() < level <= values.max():
        axis.contour(values, levels=[level], colors=[colour], linewidths=1.5)
