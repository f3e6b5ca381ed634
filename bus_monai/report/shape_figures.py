"""Confusion matrix and ROC curves of classified masses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bus_monai.metrics.classification import auc
from bus_monai.metrics.roc import GRID, macro_roc, roc_curve
from bus_monai.metrics.shape_rows import ShapeRow
from bus_monai.metrics.shape_summary import found_scores
from bus_monai.networks.shape_cnn import SHAPE_CLASSES


def confusion_figure(confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw counts (4, 4), true class in rows, coloured by their share of the true class."""
    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count}\n{share[row, column]:.0%}", ha="center", va="center", color=colour)
    ticks = range(len(SHAPE_CLASSES))
    axis.set(xticks=ticks, yticks=ticks, xticklabels=SHAPE_CLASSES, yticklabels=SHAPE_CLASSES)
    axis.set(xlabel="predicted shape", ylabel="true shape")
    figure.colorbar(picture, ax=axis, label="share of the true shape")
    return figure


def roc_figure(rows: Sequence[ShapeRow]) -> Figure:
    """Draw the ROC curve of each class against the others, and their mean."""
    scores, true = found_scores(rows)
    figure, axis = _axis("ROC, one shape against all others")
    for c, name in enumerate(SHAPE_CLASSES):
        area = auc(scores[:, c], true == c)
        if area is not None:
            axis.plot(*roc_curve(scores[:, c], true == c), label=f"{name}, AUC {area:.3f}")
    mean = macro_roc(scores, true)
    if mean is not None:
        axis.plot(GRID, mean, color="black", linewidth=2, label="mean of the shapes")
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def fold_roc_figure(curves: Sequence[NDArray[np.float64]], areas: Sequence[float]) -> Figure:
    """Draw the mean ROC of folds with its standard deviation.

    Args:
        curves: true positive rates (201,) of each fold, as ``macro_roc`` gives them.
        areas: macro AUC of each fold.
    """
    figure, axis = _axis("ROC, mean of the shapes, averaged over folds")
    for curve in curves:
        axis.plot(GRID, curve, color="#999", linewidth=0.8)
    mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0)
    label = f"mean of {len(curves)} folds, AUC {np.mean(areas):.3f} ± {np.std(areas):.3f}"
    axis.plot(GRID, mean, color="black", linewidth=2, label=label)
    axis.fill_between(GRID, mean - spread, np.minimum(mean + spread, 1), alpha=0.2)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _axis(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axis: Any = figure.subplots()
    axis.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.grid(alpha=0.3)
    return figure, axis
