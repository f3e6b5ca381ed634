"""Figures and tables as a paper takes them: sizes, letters, colors, files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from skimage.color import rgb2lab

from bus_monai.data.phantoms import make_phantom
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.compare import ranking
from bus_monai.metrics.findings import findings_curve, reliability
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.report import image_figures, paper, score_figures
from bus_monai.report.paper import (
    DPI,
    LETTERS_POINTS,
    LINE_COLORS,
    MARK_COLOR,
    OUTCOME_COLORS,
    PAGE_INCHES,
    POINT_COLOR,
    PREDICTION_COLOR,
    TRUTH_COLOR,
    save_figure,
    write_paper_table,
)
from tests.report.conftest import make_table
from tests.user_errors import raises_user_error

# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, doi 10.1109/TVCG.2009.113, severity 1
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
DIFFERENT = 20.0
"""In CIELAB: colors that differ by less are not told apart at a glance."""
NAMES = ("RDA-NET-GAN", "unet_plus_plus", "multi-encoder U-Net", "lite_unet", "ERFNet")


def seen(color: str, by: str, *, gray: float = 0.0, opacity: float = 1.0) -> np.ndarray:
    """Return a color, over gray tissue, as somebody sees it, in CIELAB."""
    rgb = (1 - opacity) * gray + opacity * np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    turned = np.clip(SEEN_BY[by] @ linear, 0, 1)
    return rgb2lab(np.where(turned <= 0.0031308, 12.92 * turned, 1.055 * turned ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize(
    "palette",
    [(TRUTH_COLOR, PREDICTION_COLOR), tuple(OUTCOME_COLORS.values()), (POINT_COLOR, MARK_COLOR), LINE_COLORS],
)
def test_colors_are_told_apart_by_the_color_blind(palette: tuple[str, ...], by: str) -> None:
    close = [
        (one, other)
        for one, other in combinations(palette, 2)
        if np.linalg.norm(seen(one, by) - seen(other, by)) < DIFFERENT
    ]
    assert close == []


@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize("gray", [0.1, 0.4, 0.7])
def test_outcomes_are_told_apart_over_tissue(by: str, gray: float) -> None:
    over = [seen(color, by, gray=gray, opacity=image_figures.OUTCOME_OPACITY) for color in OUTCOME_COLORS.values()]
    assert min(np.linalg.norm(one - other) for one, other in combinations(over, 2)) > DIFFERENT / 2


def tables(count: int) -> dict[str, list[CaseRow]]:
    return {name: make_table(i, 0.5 + i) for i, name in enumerate(NAMES[:count])}


def examples() -> list[list[np.ndarray]]:
    phantoms = [make_phantom(seed, (96, 128)) for seed in range(6)]
    images = [phantom.image / 255 for phantom in phantoms]
    truths = [np.any([np.zeros((96, 128), bool), *phantom.masks], axis=0) * 1.0 for phantom in phantoms]
    return [images, truths, [np.roll(truth, 3, axis=1) for truth in truths]]


TITLES = [f"{rank}: benign ({i}), Dice 0.7{i}" for i, rank in enumerate(("best", "second best", "median") * 2)]
HISTORY = [{"epoch": float(n), "g_region_loss": 1 / n, "d_loss": 1.0, "val_dice": 0.5} for n in range(1, 41)]


def curves(count: int) -> Figure:
    return score_figures.operating_figure({name: operating_curves(rows) for name, rows in tables(count).items()})


def findings() -> Figure:
    rows = make_table(0, 1.0)
    told = reliability([finding for row in rows for finding in row.findings])
    return score_figures.findings_figure(findings_curve([(row.findings, row.lesions) for row in rows]), told)


FIGURES: dict[str, Callable[[], Figure]] = {
    "ranks of 2": lambda: score_figures.rank_figure(ranking(tables(2))),
    "ranks of 5": lambda: score_figures.rank_figure(ranking(tables(5))),
    "boxes": lambda: score_figures.box_figure(tables(5)),
    "curves of 1": lambda: curves(1),
    "curves of 5": lambda: curves(5),
    "findings": findings,
    "areas": lambda: score_figures.agreement_figure(bland_altman(make_table(0, 1.0))),
    "training": lambda: score_figures.curves_figure(HISTORY),
    "training with trusted images": lambda: score_figures.curves_figure([{**HISTORY[0], "trusted_images": 3.0}]),
    "trusted": lambda: score_figures.trusted_figure([(0.0, 0.9), (0.5, 0.4)], 0.4),
    "confusion": lambda: score_figures.confusion_figure(np.diag([10, 2, 30, 4]).tolist()),
    "contours": lambda: image_figures.contour_figure(*examples(), TITLES),
    "overlays": lambda: image_figures.overlay_figure(*examples(), TITLES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_fits_a_page_and_can_be_read(name: str) -> None:
    figure = FIGURES[name]()
    assert figure.get_figwidth() <= PAGE_INCHES
    figure.draw_without_rendering()
    small = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_fontsize() < LETTERS_POINTS]
    assert small == []
    renderer = figure._get_renderer()
    for part in (*figure.axes, *figure.legends):
        box = part.get_tightbbox(renderer)
        assert figure.bbox.padded(1).containsx(box.x0), part
        assert figure.bbox.padded(1).containsx(box.x1), part
        assert figure.bbox.padded(1).containsy(box.y0), part
        assert figure.bbox.padded(1).containsy(box.y1), part


def test_ranks_end_at_the_number_of_models() -> None:
    (axis,) = score_figures.rank_figure(ranking(tables(2))).axes
    assert axis.get_xlim() == pytest.approx((0.9, 2.1))


def test_a_bar_of_models_that_are_not_told_apart_is_whole() -> None:
    (axis,) = score_figures.rank_figure(ranking(tables(5))).axes
    bars = [line for line in axis.lines if line.get_linewidth() == 4]
    assert len(bars) > 1
    assert {bar.get_linestyle() for bar in bars} == {"-"}
    lowest, _ = axis.get_ylim()
    assert max(bar.get_ydata()[0] for bar in bars) < lowest


def test_a_figure_is_a_picture_for_print_and_a_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "DPI", DPI)
    path = save_figure(FIGURES["ranks of 2"](), tmp_path / "figures" / "ranks.png")
    with Image.open(path) as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert picture.width == pytest.approx(3.5 * 300, abs=1)
    drawing = path.with_suffix(".svg").read_bytes()
    # again, over its own files, and to the same bytes
    assert save_figure(FIGURES["ranks of 2"](), path) == path
    assert path.with_suffix(".svg").read_bytes() == drawing
    path.with_suffix(".svg").write_text("<svg/>")
    with raises_user_error(path.with_suffix(".svg")):
        save_figure(FIGURES["ranks of 2"](), path)


def test_a_table_is_text_and_latex(tmp_path: Path) -> None:
    rows = [["unet_plus_plus", "95 % [0.1, 0.2]"], ["a & b", "< 0.0001"]]
    for _ in range(2):
        write_paper_table(tmp_path / "tables", "scores", ["Model", "Dice (mm²)"], rows)
    with (tmp_path / "tables" / "scores.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["Model", "Dice (mm²)"], *rows]
    assert (tmp_path / "tables" / "scores.tex").read_text(encoding="utf-8").splitlines() == [
        "% bus_monai",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Model & Dice (mm$^2$) \\",
        r"\midrule",
        r"unet\_plus\_plus & 95 \% [0.1, 0.2] \\",
        r"a \& b & $<$ 0.0001 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    (tmp_path / "tables" / "scores.tex").write_text("mine")
    with raises_user_error(tmp_path / "tables" / "scores.tex"):
        write_paper_table(tmp_path / "tables", "scores", ["Model"], [])
