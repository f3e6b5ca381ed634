"""HTML pages of one file, without references to others."""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure

from bus_monai import __version__
from bus_monai.io.atomic import atomic_file
from bus_monai.io.ours import RESEARCH, check_replaced
from bus_monai.report.paper import FIGURES_FOLDER, METRIC_NAMES, metric_name, remove_figure, save_figure

HISTORY_FILE = "history.csv"
"""Metrics per epoch, from training."""
TRUSTED_FILE, TRUSTED_PICTURE = "trusted.csv", "trusted.png"
"""Unlabeled images that would be trusted over gamma, from semi-supervised training."""
EXAMPLES_FILE = "examples.png"
"""Best to worst cases with contours, from evaluation."""
OVERLAYS_FILE = "overlays.png"
"""Best to worst cases with right and wrong pixels colored, from evaluation."""
DETECTIONS_FILE = "detections.csv"
"""Found masses, from evaluation and inference of a detector."""
TRUTHS_FILE = "truths.csv"
"""Masses that there are, found or missed, from evaluation of a detector."""
FROC_FILE = "froc.png"
"""Sensitivity over false positives per image, from evaluation of a detector."""
COMPARISON_FILE = "comparison.csv"
"""Paired tests of each pair of models, from comparison."""
SHAPE_ROWS_FILE = "shapes.csv"
"""Truth and prediction of each mass, from evaluation and inference of a shape classifier."""
CONFUSION_FILE = "confusion.png"
"""True against predicted shape, from evaluation."""
ROC_FILE = "roc.png"
"""Each shape against all others, from evaluation."""
FOLD_ROC_FILE = "roc_folds.png"
"""Mean of the shapes, averaged over folds."""
SHAPES_BY_COLUMN_FILE = "shapes_by_column.csv"
"""Predicted shape against a column of the cases, from evaluation."""
REPORT_FILE = "report.html"
NAME_LETTERS = max(map(len, METRIC_NAMES.values()))


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template of this folder and write the page.

    Args:
        path: of the page.
        template: file name; it extends ``page.html.jinja``.
        content: what the template names; figures through :func:`embed`.

    Raises:
        OSError: it cannot be written; no half page is left.
        UserError: there is a page that this package did not write.
    """
    check_replaced([path], option="its folder")
    environment = Environment(
        loader=PackageLoader("bus_monai.report", "."),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"number": number, "interval": interval, "p_value": p_value, "metric_name": metric_name}
    environment.globals |= {"version": __version__, "research": RESEARCH}
    with atomic_file(path) as partial:
        partial.write_text(environment.get_template(template).render(content), encoding="utf-8")
    return path


def embed(picture: Path) -> str:
    """Return a PNG file as the address of an image within a page."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def place(figure: Figure, folder: Path, name: str) -> str:
    """Write a figure of a page to ``figures`` beside it, for a paper, and return its address within the page."""
    return embed(save_figure(figure, folder / FIGURES_FOLDER / f"{name}.png"))


def remove_examples(folder: Path) -> None:
    """Remove ``examples.png`` and ``overlays.png`` with their drawings, which are of an earlier evaluation."""
    for name in (EXAMPLES_FILE, OVERLAYS_FILE):
        remove_figure(folder / name)


def read_history(folder: Path) -> list[dict[str, float]]:
    """Read ``history.csv`` of ``folder``, if there is one; an epoch lacks the values that it did not have."""
    if not (folder / HISTORY_FILE).is_file():
        return []
    with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def summary_text(summaries: Mapping[str, Any]) -> str:
    """Lay out what :func:`bus_monai.metrics.aggregate.summarize_all` returns: each rule, one line per metric."""
    lines = []
    for name, rule in summaries.items():
        lines.append(f"\n{name}: {rule['text']}")
        for metric, value in rule["metrics"].items():
            score = f"{number(value['mean']):>9}  {interval(value):22} {value['n_cases']} cases"
            lines.append(f"  {metric_name(metric):{NAME_LETTERS}} {score}")
    return "\n".join(lines)


def interval(value: Mapping[str, Any]) -> str:
    """Write the 95 % interval; there is none with a single group."""
    return "" if value["low"] is None else f"[{number(value['low'])}, {number(value['high'])}]"


def number(value: float) -> str:
    """Write a number with four significant decimals, large ones with fewer."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def p_value(value: float) -> str:
    """Write a p value; none is 0."""
    return "< 0.0001" if value < 1e-4 else number(value)
