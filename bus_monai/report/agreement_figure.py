"""Bland-Altman plot of the areas."""

from __future__ import annotations

from matplotlib.figure import Figure

from bus_monai.metrics.agreement import BlandAltman


def agreement_figure(agreement: BlandAltman) -> Figure:
    """Draw the differences of predicted and true area over their means, with bias and limits of agreement."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(agreement.mean, agreement.difference, ".", color="#1f77b4", alpha=0.7)
    for value, text, style in (
        (agreement.bias, "bias", "-"),
        (agreement.low, "-1.96 SD", "--"),
        (agreement.high, "+1.96 SD", "--"),
    ):
        axis.axhline(value, color="#d62728", linestyle=style, linewidth=1)
        axis.annotate(
            f"{text} {value:.4g}", (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
    axis.set(
        xlabel=f"mean of predicted and true area in {agreement.unit}",
        ylabel=f"predicted - true area in {agreement.unit}",
        title="Areas: Bland-Altman",
    )
    axis.grid(alpha=0.3)
    return figure
