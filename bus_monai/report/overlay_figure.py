"""Images with right and wrong pixels coloured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

COLOURS = {"true positive": "#2ca02c", "false negative": "#d62728", "false positive": "#1f77b4"}
OPACITY = 0.45


def overlay_figure(
    images: Sequence[NDArray[np.floating]],
    truths: Sequence[NDArray[np.floating]],
    probabilities: Sequence[NDArray[np.floating]],
    titles: Sequence[str],
    *,
    threshold: float = 0.5,
) -> Figure:
    """Draw each image above the same image with its pixels coloured by :data:`COLOURS`.

    Args:
        images: (H, W), values in [0, 1].
        truths: (H, W), values in {0, 1}.
        probabilities: (H, W), values in [0, 1].
        titles: one an image.
        threshold: from which on a pixel is predicted lesion.
    """
    figure = Figure(figsize=(3 * len(images), 6.4), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for column, (image, truth, probability) in enumerate(zip(images, truths, probabilities, strict=True)):
        grey = np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=2)
        axes[0, column].imshow(grey)
        # on two lines, which are no wider than the image
        axes[0, column].set_title(titles[column].replace(": ", ":\n", 1), fontsize=12)
        axes[1, column].imshow(_coloured(grey, truth > 0.5, probability >= threshold))
    for axis in axes.flat:
        axis.axis("off")
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in COLOURS.items()],
        loc="outside lower center",
        ncols=len(COLOURS),
        frameon=False,
    )
    return figure


def _coloured(
    grey: NDArray[np.floating], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> NDArray[np.floating]:
    result = grey.copy()
    for name, where in zip(COLOURS, (truth & predicted, truth & ~predicted, ~truth & predicted), strict=True):
        result[where] = (1 - OPACITY) * result[where] + OPACITY * np.asarray(to_rgb(COLOURS[name]))
    return result
