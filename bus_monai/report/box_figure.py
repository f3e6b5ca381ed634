"""Distributions of scores over cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bus_monai.metrics.case_table import CaseRow

METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "sensitivity": "sensitivity",
    "hd95_px": "HD95 in pixels",
}


def box_figure(tables: Mapping[str, Sequence[CaseRow]]) -> Figure:
    """Draw box plots (quartiles, whiskers to 1.5 interquartile ranges, each case a point) of each model."""
    figure = Figure(figsize=(15, 2.2 + 0.5 * len(tables)), layout="constrained")
    axes = figure.subplots(1, len(METRICS))
    for axis, (metric, text) in zip(axes, METRICS.items(), strict=True):
        values = [[v for row in rows if (v := getattr(row, metric)) is not None] for rows in tables.values()]
        axis.boxplot(values, vert=False, widths=0.6, flierprops={"marker": ""})
        for i, part in enumerate(values, start=1):
            axis.plot(part, [i] * len(part), "|", color="#1f77b4", alpha=0.4)
        axis.set_yticks(range(1, len(tables) + 1), list(tables) if axis is axes[0] else [""] * len(tables))
        axis.invert_yaxis()
        axis.set_title(text, fontsize=10)
        if metric != "hd95_px":
            axis.set_xlim(-0.02, 1.02)
        axis.grid(axis="x", alpha=0.3)
    return figure
