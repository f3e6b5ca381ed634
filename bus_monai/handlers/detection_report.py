"""The tables of a detector's evaluation, and what is computed from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from bus_monai.metrics.ignite_detection_metric import DetectionMetric
from bus_monai.metrics.write_scores import SUMMARY
from bus_monai.report.detection_tables import DetectionRow, TruthRow, write_detections, write_truths
from bus_monai.report.files import DETECTIONS, FROC, TRUTHS
from bus_monai.report.froc_figure import froc_figure
from bus_monai.weights import check_writable


class DetectionReport:
    """Write ``detections.csv``, ``truths.csv``, ``summary.json`` and ``froc.png``, and print the summary.

    ``detections.csv`` has a row a frame, also those that score too low to count but belong to the curve, from the
    highest score down; ``truths.csv`` a row a mass, with the score of the frame that finds it where that counts.

    Args:
        metric: holds what was found.
        folder: where the files go.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, *, metric: DetectionMetric, folder: str | Path) -> None:
        self.metric = metric
        self.folder = check_writable(folder)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self) -> None:
        metric = self.metric
        assert metric.curve is not None
        rows = [DetectionRow(m.image, m.score, m.frame, m.truth is not None) for m in metric.matched]
        write_detections(self.folder / DETECTIONS, rows)
        counted = [m for m in metric.matched if m.score >= metric.threshold]
        finders = {(m.image, m.truth): m.score for m in counted if m.truth is not None}
        truths = [
            TruthRow(image.id, frame, finders.get((image.id, number)))
            for image in metric.images
            for number, frame in enumerate(image.truths)
        ]
        write_truths(self.folder / TRUTHS, truths)
        froc_figure(metric.curve).savefig(self.folder / FROC, dpi=110)
        froc = metric.curve.froc()
        summary: dict[str, Any] = {
            "images": metric.curve.images,
            "masses": metric.curve.truths,
            "average_precision_50": metric.curve.average_precision,
            "froc": {f"{rate:g}": value for rate, value in froc.items()} if froc else None,
            "threshold": metric.threshold,
            "found": len(finders),
            "missed": len(truths) - len(finders),
            "false_positives": len(counted) - len(finders),
        }
        (self.folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        print(_text(summary))


def _text(summary: dict[str, Any]) -> str:
    """Put the summary into words."""
    lines = [
        f"\n{summary['masses']} masses in {summary['images']} images, found where the IoU is 0.5 or more",
        (
            f"  from a score of {summary['threshold']:g} on: {summary['found']} found, {summary['missed']} missed, "
            f"{summary['false_positives']} false positives"
        ),
    ]
    if summary["froc"] is not None:
        lines.append(f"  average precision {summary['average_precision_50']:.4f}")
        lines += [
            f"  sensitivity {value:.4f} at {rate} false positives an image" for rate, value in summary["froc"].items()
        ]
    return "\n".join(lines)
