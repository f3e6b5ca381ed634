"""Images with true and found boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bus_monai.metrics.ignite_detection_metric import ImageDetections
from bus_monai.report.contour_figure import PREDICTION_COLOUR, TRUTH_COLOUR
from bus_monai.report.image_grid import add_legend, image_grid
from bus_monai.transforms.frames import Frame


def detection_figure(
    images: Sequence[NDArray[np.floating]], detections: Sequence[ImageDetections], *, threshold: float
) -> Figure:
    """Draw each image with its true boxes and those found from ``threshold`` on, with their scores.

    Args:
        images: (h, w) of any size, values in [0, 1]; drawn in the proportions of their sources.
        detections: one an image.
        threshold: score from which on a box is drawn.

    Returns:
        A figure with up to three images a row.
    """
    figure, axes = image_grid(len(images), (4, 4.8), below=0.5)
    for axis, image, one in zip(axes, images, detections, strict=False):
        height, width = one.size
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
        found = {frame: score for frame, score in zip(one.found, one.scores, strict=True) if score >= threshold}
        _frames(axis, one.truths, TRUTH_COLOUR)
        _frames(axis, found, PREDICTION_COLOUR)
        for frame, score in found.items():
            axis.text(frame.left, frame.top, f"{score:.2f}", color=PREDICTION_COLOUR, fontsize=8, va="bottom")
        axis.set_title(f"{one.id}: {len(one.truths)} masses, {len(found)} found", fontsize=10)
    add_legend(figure, {"truth": TRUTH_COLOUR, f"found, with scores from {threshold:g} on": PREDICTION_COLOUR})
    return figure


def _frames(axis: Axes, frames: Iterable[Frame], colour: str) -> None:
    for top, left, bottom, right in frames:
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.5))
