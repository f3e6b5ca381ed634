"""Losses and validation over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

REGION = {"g_region_loss": "region loss"}
ADVERSARIAL = {"g_adversarial_loss": "generator", "d_loss": "critic"}
TRUSTED = {"trusted_images": "trusted"}
VALIDATION = {
    "val_dice": "Dice",
    "val_iou": "IoU",
    "val_precision": "precision",
    "val_sensitivity": "sensitivity",
    "val_ap50": "average precision",
}


def curves_figure(history: Sequence[dict[str, float]]) -> Figure:
    """Draw the training losses and the validation scores of ``history.csv``, and trusted pseudo-labels if there are."""
    trusts = any(name in row for row in history for name in TRUSTED)
    panels = 3 + trusts
    figure = Figure(figsize=(14 * panels / 3, 3.8), layout="constrained")
    region, adversarial, validation, *more = figure.subplots(1, panels)
    _draw(region, history, REGION)
    region.set_title("Training: region loss")
    _draw(adversarial, history, ADVERSARIAL)
    adversarial.set_title("Training: adversarial losses")
    _draw(validation, history, VALIDATION)
    validation.set_ylim(0, 1)
    validation.set_title("Validation, mean over cases with a lesion")
    for axis in more:
        _draw(axis, history, TRUSTED)
        axis.set_title("Unlabelled images with a trusted mask")
    return figure


def _draw(axis: Axes, history: Sequence[dict[str, float]], names: dict[str, str]) -> None:
    for name, text in names.items():
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            axis.plot(*zip(*points, strict=True), label=text, marker="." if len(points) < 30 else None)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(frameon=False, fontsize=8)
