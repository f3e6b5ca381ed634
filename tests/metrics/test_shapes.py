"""Tables of shapes: written and read, summarized with what was not found, and ROC curves against their areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.metrics.classification import ROC_GRID, auc, macro_roc, roc_curve
from bus_monai.metrics.shapes import ShapeRow, read_shape_rows, summarize_shapes, summary_lines, write_shape_rows
from tests.user_errors import raises_user_error

ROWS = [
    ShapeRow("a_m1", "a", "oval", (0.1, 0.2, 0.6, 0.1)),
    ShapeRow("a_m2", "a", "round", (0.1, 0.2, 0.6, 0.1)),
    ShapeRow("b_m1", "b", "irregular", ()),
    ShapeRow("c_m1", "c", "irregular", (0.9, 1 / 30, 1 / 30, 1 / 30)),
]


def test_rows_read_back_as_written(tmp_path: Path) -> None:
    unknown = ShapeRow("x/y_m1", "x/y_m1", None, (0.25, 0.25, 0.25, 0.25))
    write_shape_rows(tmp_path / "shapes.csv", [*ROWS, unknown])
    assert read_shape_rows(tmp_path / "shapes.csv") == [*ROWS, unknown]
    assert (tmp_path / "shapes.csv").read_text().splitlines()[:4] == [
        "id,group,truth,predicted,irregular,lobular,oval,round",
        "a_m1,a,oval,oval,0.1,0.2,0.6,0.1",
        "a_m2,a,round,oval,0.1,0.2,0.6,0.1",
        "b_m1,b,irregular,,,,,",
    ]


def test_another_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,dice\na,1\n")
    with raises_user_error("group", "shapes.csv", path=tmp_path / "t.csv"):
        read_shape_rows(tmp_path / "t.csv")


def test_summary_by_hand() -> None:
    """Two of three found masses are right; F1 of irregular 1, of oval 2/3, of round 0, and lobular has none."""
    summary = summarize_shapes(ROWS)
    assert (summary["masses"], summary["not_found"], summary["accuracy_of_all"]) == (4, 1, 0.5)
    assert summary["accuracy"]["value"] == pytest.approx(2 / 3)
    assert summary["macro_f1"]["value"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert summary["by_class"]["irregular"]["recall"] == 1.0
    assert summary["by_class"]["lobular"]["recall"] is None
    assert summary["confusion"] == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    lines = summary_lines(summary).splitlines()
    assert lines[0] == "4 masses, 1 of them not found."
    assert lines[-1].split() == ["round", "0", "0", "1", "0"]


def test_a_mass_of_unknown_shape_counts_in_no_figure() -> None:
    with_unknown = summarize_shapes([*ROWS, ShapeRow("d_m1", "d", None, (0.7, 0.1, 0.1, 0.1))])
    assert with_unknown["masses"] == 5
    assert with_unknown["accuracy"] == summarize_shapes(ROWS)["accuracy"]


def test_nothing_found_at_all() -> None:
    summary = summarize_shapes([ROWS[2]])
    assert (summary["masses"], summary["not_found"], summary["accuracy_of_all"]) == (1, 1, 0.0)
    assert summary_lines(summary) == "1 masses, 1 of them not found."


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40))
def test_area_under_the_curve_is_the_sum_of_ranks(cases: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([c[0] / 8 for c in cases]), np.array([c[1] for c in cases])
    area = auc(scores, positive)
    if area is None:
        with pytest.raises(ValueError, match="needs positives and negatives"):
            roc_curve(scores, positive)
        return
    false, true = roc_curve(scores, positive)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(area)


def test_mean_curve_of_perfect_scores_and_of_one_class() -> None:
    true = np.array([0, 1, 2, 3])
    mean = macro_roc(np.eye(4), true)
    assert mean is not None
    assert mean[-1] == 1.0
    assert (mean[ROC_GRID > 0] == 1.0).all()
    assert macro_roc(np.eye(4)[:3], np.zeros(3, dtype=int)) is None
