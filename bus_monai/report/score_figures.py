"""Figures of scores: box plots, curves, ranks, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.classification import ROC_GRID, auc, macro_roc, roc_curve
from bus_monai.metrics.compare import Ranking
from bus_monai.metrics.detection import FROC_RATES, DetectionCurve
from bus_monai.metrics.findings import FINDING_RATES, Reliability
from bus_monai.metrics.operating_curves import BlandAltman, OperatingCurves
from bus_monai.metrics.shapes import ShapeRow, found_scores
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.report.paper import COLUMN_INCHES, MARK_COLOR, PAGE_INCHES, POINT_COLOR, metric_name, paper_style

LABEL_SHARE = 0.16
"""Of the height of an axis, that two lines of text take."""
SPREAD_METRICS = ("dice", "iou", "precision", "sensitivity", "hd95_px")
REGION_CURVES = {"g_region_loss": "region loss"}
ADVERSARIAL_CURVES = {"g_adversarial_loss": "generator", "d_loss": "critic"}
TRUSTED_CURVES = {"trusted_images": "trusted"}
VALIDATION_CURVES = {
    "val_dice": "Dice",
    "val_iou": "IoU",
    "val_precision": "precision",
    "val_sensitivity": "sensitivity",
    "val_ap50": "average precision",
}


@paper_style
def agreement_figure(
    agreement: BlandAltman, *, what: str = "area", names: tuple[str, str] = ("predicted", "true")
) -> Figure:
    """Draw the differences of two measurements over their means, with bias and limits of agreement.

    Args:
        agreement: of the measurements.
        what: is measured.
        names: of both.
    """
    figure = Figure(figsize=(COLUMN_INCHES, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.plot(agreement.mean, agreement.difference, ".", color=POINT_COLOR, alpha=0.7)
    limits = (
        (agreement.low, "-1.96 SD", "--", -1),
        (agreement.bias, "bias", "-", 0),
        (agreement.high, "+1.96 SD", "--", 1),
    )
    for value, _, style, _ in limits:
        axis.axhline(value, color=MARK_COLOR, linestyle=style, linewidth=1)
    axis.margins(y=0.2)
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top)
    apart = max(agreement.high - agreement.bias, LABEL_SHARE * (top - bottom))
    for value, text, _, side in limits:
        # beside the axes, where it hides no point, and apart where lines lie together
        told = f"{text}\n{value:,.0f}" if abs(value) >= 100 else f"{text}\n{value:.3g}"
        place = agreement.bias + side * apart
        axis.annotate(told, (1.02, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
    axis.set(
        xlabel=f"mean {what} of {names[0]} and {names[1]} ({agreement.unit})",
        ylabel=f"{what}, {names[0]} - {names[1]} ({agreement.unit})",
        title=f"Bland-Altman, {what}",
    )
    axis.grid(alpha=0.3)
    return figure


@paper_style
def box_figure(tables: Mapping[str, Sequence[CaseRow]]) -> Figure:
    """Draw box plots (quartiles, whiskers to 1.5 interquartile ranges, each case a point) of each model."""
    figure = Figure(figsize=(PAGE_INCHES, 0.9 + 0.3 * len(tables)), layout="constrained")
    axes = figure.subplots(1, len(SPREAD_METRICS))
    for axis, metric in zip(axes, SPREAD_METRICS, strict=True):
        values = [[v for row in rows if (v := getattr(row, metric)) is not None] for rows in tables.values()]
        axis.boxplot(values, vert=False, widths=0.6, flierprops={"marker": ""})
        for i, part in enumerate(values, start=1):
            axis.plot(part, [i] * len(part), "|", color=POINT_COLOR, alpha=0.4)
        axis.set_yticks(range(1, len(tables) + 1), list(tables) if axis is axes[0] else [""] * len(tables))
        axis.invert_yaxis()
        axis.set_xlabel(metric_name(metric))
        if metric == "hd95_px":
            axis.xaxis.set_major_locator(MaxNLocator(3))
        else:
            axis.set(xlim=(-0.04, 1.04), xticks=(0, 0.5, 1))
        axis.grid(axis="x", alpha=0.3)
    return figure


@paper_style
def curves_figure(history: Sequence[dict[str, float]]) -> Figure:
    """Draw the training losses and the validation scores of ``history.csv``, and trusted pseudo-labels if there are."""
    trusts = any(name in row for row in history for name in TRUSTED_CURVES)
    panels = 3 + trusts
    figure = Figure(figsize=(PAGE_INCHES, 2.2 if panels == 3 else 4.2), layout="constrained")
    region, adversarial, validation, *more = figure.subplots(1 if panels == 3 else 2, panels if panels == 3 else 2).flat
    _draw(region, history, REGION_CURVES, "loss")
    region.set_title("Region loss")
    _draw(adversarial, history, ADVERSARIAL_CURVES, "loss")
    adversarial.set_title("Adversarial losses")
    _draw(validation, history, VALIDATION_CURVES, "score")
    validation.set_ylim(0, 1)
    validation.set_title("Validation, cases with a lesion")
    for axis in more:
        _draw(axis, history, TRUSTED_CURVES, "images")
        axis.set_title("Unlabeled images trusted")
    return figure


def _draw(axis: Axes, history: Sequence[dict[str, float]], names: dict[str, str], ylabel: str) -> None:
    for name, text in names.items():
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            axis.plot(*zip(*points, strict=True), label=text, marker="." if len(points) < 30 else None)
    axis.set(xlabel="epoch", ylabel=ylabel)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend()


@paper_style
def trusted_figure(shares: Sequence[tuple[float, float]], used: float) -> Figure:
    """Draw the share of trusted images over gamma.

    Args:
        shares: gamma and share, both in [0, 1].
        used: the gamma of the training, which is marked.
    """
    figure = Figure(figsize=(COLUMN_INCHES, 2.4), layout="constrained")
    axis: Any = figure.subplots()
    axis.plot(*zip(*shares, strict=True), "o-", color=POINT_COLOR)
    axis.axvline(used, color=MARK_COLOR, linestyle="--", linewidth=1)
    axis.set(xlabel="gamma", ylabel="share", title="Trusted unlabeled images", xlim=(0, 1), ylim=(0, 1.05))
    axis.grid(alpha=0.3)
    return figure


@paper_style
def froc_figure(curve: DetectionCurve) -> Figure:
    """Draw sensitivity over false positives per image, as steps, and the four points that are told in numbers."""
    figure = Figure(figsize=(COLUMN_INCHES, 3), layout="constrained")
    _draw_froc(figure.subplots(), curve, FROC_RATES, "masses")
    return figure


@paper_style
def findings_figure(curve: DetectionCurve, told: Reliability) -> Figure:
    """Draw lesions found over false findings per image, and how often findings of a probability are lesions."""
    figure = Figure(figsize=(PAGE_INCHES, 3), layout="constrained")
    froc, calibration = figure.subplots(1, 2)
    _draw_froc(froc, curve, FINDING_RATES, "lesions")
    calibration.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    calibration.plot(told.confidence, told.frequency, marker="o")
    for confidence, frequency, count in zip(told.confidence, told.frequency, told.count, strict=True):
        if count:
            calibration.annotate(str(count), (confidence, frequency), xytext=(4, -11), textcoords="offset points")
    calibration.set(xlabel="mean probability told", ylabel="share of lesions", xlim=(-0.02, 1.06), ylim=(-0.08, 1.05))
    calibration.set_title(f"Reliability of {told.count.sum()} findings, ECE {told.calibration_error:.3f}")
    calibration.grid(alpha=0.3)
    return figure


def _draw_froc(axis: Axes, curve: DetectionCurve, rates: Sequence[float], what: str) -> None:
    false = np.concatenate([[0], curve.false_positives]) / max(curve.images, 1)
    found = np.concatenate([[0], curve.true_positives]) / max(curve.truths, 1)
    most = max(rates)
    axis.step([*false, max(float(false[-1]), most)], [*found, found[-1]], where="post")
    points = curve.froc(rates) or {}
    axis.plot(list(points), list(points.values()), "o")
    for i, (rate, value) in enumerate(points.items()):
        # in turn below and above: the first rates lie close together
        axis.annotate(f"{value:.2f}", (rate, value), xytext=(3, 5 if i % 2 else -12), textcoords="offset points")
    axis.set(xlabel="false positives per image", ylabel="sensitivity", xlim=(-0.02, most + 0.1), ylim=(-0.02, 1.08))
    axis.set_title(f"FROC, {curve.truths} {what} in {curve.images} images")
    axis.grid(alpha=0.3)


@paper_style
def operating_figure(curves: Mapping[str, OperatingCurves]) -> Figure:
    """Draw the three curves of each model."""
    figure = Figure(figsize=(PAGE_INCHES, 2.6 + 0.16 * len(curves)), layout="constrained")
    roc, precision, calibration = figure.subplots(1, 3)
    for name, curve in curves.items():
        values = f"AUC {curve.auc:.3f}, AP {curve.average_precision:.3f}, ECE {curve.calibration_error:.3f}"
        roc.plot(curve.false_positive_rate, curve.sensitivity, label=f"{name}: {values}")
        precision.step(curve.sensitivity, curve.precision, where="pre")
        calibration.plot(curve.confidence, curve.frequency, marker="o")
    for axis in (roc, calibration):
        axis.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC")
    precision.set(xlabel="sensitivity (recall)", ylabel="precision", title="Precision and recall")
    calibration.set(xlabel="mean probability", ylabel="share of lesion", title="Calibration")
    for axis in (roc, precision, calibration):
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
    # below, where it hides no curve
    figure.legend(loc="outside lower center")
    return figure


@paper_style
def rank_figure(ranking: Ranking) -> Figure:
    """Draw the mean rank of each model; bars join the models that are not told apart (Demsar, JMLR 7, 2006)."""
    names, ranks = list(ranking.ranks), list(ranking.ranks.values())
    figure = Figure(figsize=(COLUMN_INCHES, 0.9 + 0.25 * len(names)), layout="constrained")
    axis = figure.subplots()
    axis.plot(ranks, range(len(names)), "o", color=POINT_COLOR)
    bars = [
        (first, max(j for j, rank in enumerate(ranks) if rank - ranks[first] < ranking.critical_difference))
        for first in range(len(ranks))
    ]
    # a bar within the one before says nothing new
    bars = [bar for i, bar in enumerate(bars) if bar[1] > bar[0] and (i == 0 or bar[1] > bars[i - 1][1])]
    for k, (first, last) in enumerate(bars):
        height = len(names) - 0.4 + 0.25 * k
        axis.plot([ranks[first] - 0.03, ranks[last] + 0.03], [height, height], "-", color="#444", linewidth=4)
    axis.set_xlim(0.9, len(names) + 0.1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_yticks(range(len(names)), [f"{name}  {rank:.2f}" for name, rank in ranking.ranks.items()])
    # the first at the top, and the bars clear of the axis
    axis.set_ylim(len(names) - 0.3 + 0.25 * len(bars), -0.5)
    axis.set_xlabel(f"mean rank, 1 is best\n(critical difference {ranking.critical_difference:.2f})")
    axis.spines[["left", "right", "top"]].set_visible(False)
    return figure


@paper_style
def confusion_figure(confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw counts (4, 4), true class in rows, colored by their share of the true class."""
    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(COLUMN_INCHES, 3.1), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count}\n{share[row, column]:.0%}", ha="center", va="center", color=color)
    ticks = range(len(SHAPE_CLASSES))
    axis.set(xticks=ticks, yticks=ticks, xticklabels=SHAPE_CLASSES, yticklabels=SHAPE_CLASSES)
    axis.set(xlabel="predicted shape", ylabel="true shape")
    figure.colorbar(picture, ax=axis, label="share of the true shape", shrink=0.7)
    return figure


@paper_style
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
        axis.plot(ROC_GRID, mean, "-", color="black", linewidth=2, label="mean of the shapes")
        axis.legend(loc="lower right")
    return figure


@paper_style
def fold_roc_figure(curves: Sequence[NDArray[np.float64]], areas: Sequence[float]) -> Figure:
    """Draw the mean ROC of folds with its sample standard deviation.

    Args:
        curves: true positive rates (201,) of each fold, as ``macro_roc`` gives them; two or more.
        areas: macro AUC of each fold.
    """
    figure, axis = _axis("ROC, mean of the shapes, averaged over folds")
    for curve in curves:
        axis.plot(ROC_GRID, curve, "-", color="#999", linewidth=0.8)
    mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1)
    label = f"mean of {len(curves)} folds, AUC {np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}"
    axis.plot(ROC_GRID, mean, "-", color="black", linewidth=2, label=label)
    axis.fill_between(ROC_GRID, mean - spread, np.minimum(mean + spread, 1), alpha=0.2)
    axis.legend(loc="lower right")
    return figure


def _axis(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(COLUMN_INCHES, 3.2), layout="constrained")
    axis: Any = figure.subplots()
    axis.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.grid(alpha=0.3)
    return figure, axis
