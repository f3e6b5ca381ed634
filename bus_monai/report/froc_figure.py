"""The curve of a detector."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bus_monai.metrics.detection import FROC_RATES, DetectionCurve


def froc_figure(curve: DetectionCurve) -> Figure:
    """Draw sensitivity over false positives an image, as steps, and the four points that are told in numbers."""
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axis = figure.subplots()
    false = np.concatenate([[0], curve.false_positives]) / max(curve.images, 1)
    found = np.concatenate([[0], curve.true_positives]) / max(curve.truths, 1)
    most = max(FROC_RATES)
    axis.step([*false, max(float(false[-1]), most)], [*found, found[-1]], where="post")
    points = curve.froc() or {}
    axis.plot(list(points), list(points.values()), "o")
    for rate, value in points.items():
        axis.annotate(f"{value:.2f}", (rate, value), xytext=(3, -12), textcoords="offset points", fontsize=8)
    axis.set(xlabel="false positives an image", ylabel="sensitivity", xlim=(-0.02, most + 0.1), ylim=(-0.02, 1.02))
    axis.set_title(f"FROC, {curve.truths} masses in {curve.images} images")
    axis.grid(alpha=0.3)
    return figure
