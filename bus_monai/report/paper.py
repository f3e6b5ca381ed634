"""What a paper takes: names, colors and sizes, figures as PNG and SVG, tables as CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from cycler import cycler
from matplotlib import rc_context
from matplotlib.figure import Figure

from bus_monai.io.atomic import atomic_file, write_table
from bus_monai.io.ours import MARK, PNG_MARK, check_replaced

COLUMN_INCHES, PAGE_INCHES = 3.5, 7.2
"""Width of a column, and of a page of two, as most journals print them."""
LETTERS_POINTS = 8.0
"""The least that journals ask for."""
DPI = 300
TRUTH_COLOR, PREDICTION_COLOR = "#56b4e9", "#e69f00"
OUTCOME_COLORS = {"true positive": "#f0e442", "false negative": "#d55e00", "false positive": "#0072b2"}
LINE_COLORS = ("#0072b2", "#e69f00", "#882255", "#000000", "#56b4e9")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
"""Four of Okabe and Ito's colors and the wine of Paul Tol: the color-blind take no two for one another."""
POINT_COLOR, MARK_COLOR = "#0072b2", "#d55e00"
STYLE: Any = {
    "font.size": LETTERS_POINTS,
    **{
        f"{part}size": LETTERS_POINTS
        for part in ("axes.title", "axes.label", "xtick.label", "ytick.label", "legend.font", "figure.title")
    },
    "axes.prop_cycle": cycler(color=LINE_COLORS * 2)
    + cycler(linestyle=(*LINE_STYLES, *LINE_STYLES[2:], *LINE_STYLES[:2])),
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
}
METRIC_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "precision": "Precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "m_iou": "mIoU",
    "hd95_px": "HD95 (px)",
    "assd_px": "ASSD (px)",
    "hd95_mm": "HD95 (mm)",
    "assd_mm": "ASSD (mm)",
    "hd95_px_detected": "HD95 of detected (px)",
    "hd95_mm_detected": "HD95 of detected (mm)",
    "lesion_sensitivity": "Lesion sensitivity",
    "false_components_per_image": "False components per image",
    "false_positive_rate": "Per-image false-positive rate",
    "false_area_px": "False area per image (px)",
    "false_area_mm2": "False area per image (mm²)",
}
FIGURES_FOLDER, TABLES_FOLDER = "figures", "tables"
_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "²": "$^2$", "<": "$<$", "±": r"$\pm$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip
_P = ParamSpec("_P")


def paper_style(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Let a function draw with the colors and letters of this module."""

    @wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def metric_name(key: str) -> str:
    """Return what the field calls a metric."""
    return METRIC_NAMES.get(key, key.replace("_", " "))


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG of 300 dots per inch, and beside it as SVG, and return the path of the PNG.

    Args:
        figure: drawn by a function of this package.
        path: of the PNG; its folder is made.

    Raises:
        UserError: there is a file that this package did not write.
    """
    drawing = path.with_suffix(".svg")
    check_replaced([path, drawing], option="its folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.dpi = DPI
    if layout := figure.get_layout_engine():
        # once for both files, which would lay it out anew, and draw it once more for that
        layout.execute(figure)
        figure.set_layout_engine(None)
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata=PNG_MARK)
    # the same figure is the same file
    with atomic_file(drawing) as partial, rc_context({"svg.hashsalt": MARK}):
        figure.savefig(partial, format="svg", dpi=DPI, metadata={"Creator": MARK, "Date": None})
    return path


def check_paper_files(
    folder: Path, *, figures: Iterable[str] = (), tables: Iterable[str] = (), option: str = "its folder"
) -> None:
    """Check, before anything is drawn, that what will be replaced in ``figures`` and ``tables`` of a folder is ours.

    Args:
        folder: that holds both.
        figures: names without ending.
        tables: names without ending; a CSV is ours where its LaTeX is.
        option: that names the folder.

    Raises:
        UserError: a file is there that this package did not write.
    """
    for name in figures:
        check_replaced([folder / FIGURES_FOLDER / f"{name}.{kind}" for kind in ("png", "svg")], option=option)
    for name in tables:
        tex, table = (folder / TABLES_FOLDER / f"{name}.{kind}" for kind in ("tex", "csv"))
        check_replaced([tex] if tex.exists() else [tex, table], option=option)


def remove_figure(path: Path) -> None:
    """Remove the PNG and the SVG that :func:`save_figure` left at a path, if they are there."""
    for file in (path, path.with_suffix(".svg")):
        file.unlink(missing_ok=True)


def remove_paper_files(folder: Path, *, figures: Iterable[str], tables: Iterable[str]) -> None:
    """Remove what an earlier page left in ``figures`` and ``tables`` of a folder, of which the next may have less.

    Takes and raises what :func:`check_paper_files` does.
    """
    check_paper_files(folder, figures=figures, tables=tables)
    for name in figures:
        remove_figure(folder / FIGURES_FOLDER / f"{name}.png")
    for path in (folder / TABLES_FOLDER / f"{name}.{ending}" for name in tables for ending in ("csv", "tex")):
        path.unlink(missing_ok=True)


def write_paper_table(folder: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write ``NAME.csv``, and ``NAME.tex`` for LaTeX's package ``booktabs``.

    Args:
        folder: of both; it is made.
        name: of the files.
        header: of the columns.
        rows: cells as text, as a page prints them.

    Raises:
        UserError: there is a file that this package did not write.
    """
    table, tex = folder / f"{name}.csv", folder / f"{name}.tex"
    check_paper_files(folder.parent, tables=[name])
    folder.mkdir(parents=True, exist_ok=True)
    rows = [list(row) for row in rows]
    write_table(table, list(header), rows, known=0)
    lines = [" & ".join(map(_tex, line)) + r" \\" for line in (header, *rows)]
    body = [
        f"% {MARK}",
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        *(r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"),
        r"\end{tabular}",
    ]
    with atomic_file(tex) as partial:
        partial.write_text("\n".join(body) + "\n", encoding="utf-8")


def _tex(text: str) -> str:
    return re.sub("|".join(map(re.escape, _TEX)), lambda found: _TEX[found[0]], text)
