"""ROC, precision and recall, and calibration over the pixels of a set."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from bus_monai.metrics.operating_curves import OperatingCurves


def operating_figure(curves: Mapping[str, OperatingCurves]) -> Figure:
    """Draw the three curves of each model."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    roc, precision, calibration = figure.subplots(1, 3)
    for name, curve in curves.items():
        roc.plot(curve.false_positive_rate, curve.sensitivity, label=f"{name}, AUC {curve.auc:.3f}")
        precision.step(
            curve.sensitivity, curve.precision, where="pre", label=f"{name}, average {curve.average_precision:.3f}"
        )
        calibration.plot(
            curve.confidence, curve.frequency, marker="o", label=f"{name}, ECE {curve.calibration_error:.3f}"
        )
    for axis in (roc, calibration):
        axis.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, all pixels")
    precision.set(xlabel="sensitivity (recall)", ylabel="precision", title="Precision and recall, all pixels")
    calibration.set(xlabel="mean probability", ylabel="share of lesion", title="Calibration, all pixels")
    for axis in (roc, precision, calibration):
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return figure
