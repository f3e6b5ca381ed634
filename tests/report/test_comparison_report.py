"""Comparison of runs, and the published tables beside ours."""

from __future__ import annotations

import csv
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from bus_monai.metrics.aggregate import RULES, means
from bus_monai.metrics.case_table import CASE_COLUMNS, CaseRow
from bus_monai.metrics.compare import Comparison
from bus_monai.report.comparison_report import (
    beside_ours,
    comparison_text,
    published_tables,
    published_text,
    write_comparison_report,
)
from bus_monai.report.page import number
from tests.user_errors import raises_user_error


def test_page_and_table_hold_the_tests(tmp_path: Path, good: list[CaseRow], bad: list[CaseRow]) -> None:
    models = {"good": good, "bad": bad}
    comparison = Comparison.of(models)
    page = write_comparison_report(comparison, tmp_path, published=published_tables("rdau")).read_text("utf-8")
    [test] = comparison.tests
    assert test.difference > 0
    assert test.p_holm < 0.05
    with (tmp_path / "comparison.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert float(row["p_holm"]) == test.p_holm
    assert (row["first"], row["second"], int(row["groups"])) == ("good", "bad", test.groups)
    assert f"<td>{number(test.effect)}</td>" in page
    for rows in models.values():
        assert f"<td>{number(means(rows, 'lesion')['dice'])} [" in page
    assert "RDA-NET-GAN, 57 test images" in unescape(page)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    text = comparison_text(comparison)
    assert f"good - bad: {test.difference:+.4f}" in text


def test_published_tables_are_whole() -> None:
    papers = {table.paper for table in published_tables()}
    assert papers == {"rdau", "cgan_ac_caw", "mammo", "assgan", "multi_encoder"}
    for table in published_tables():
        assert table.rule in RULES
        assert table.source
        assert table.differences.endswith(".")
        for column in table.columns:
            assert column["metric"] is None or column["metric"] in RULES[table.rule].fractions
            assert column["metric"] is None or column["metric"] in CASE_COLUMNS
        for _, *values in table.rows:
            assert len(values) == len(table.columns)
            assert all(0 <= value <= 100 for value in values)


def test_published_figures_satisfy_what_the_papers_imply() -> None:
    """Dice = 2 IoU / (1 + IoU) for sums of pixels (ASSGAN), F1 = Dice for each image (multi-encoder)."""
    for table in published_tables("assgan"):
        if [column["name"] for column in table.columns] == ["IoU", "accuracy", "Dice"]:
            for name, iou, _, dice in table.rows:
                assert dice == pytest.approx(200 * iou / (100 + iou), abs=0.02), name
    [table] = published_tables("multi_encoder")
    assert len(table.rows) == 25
    assert all(row[3] == pytest.approx(row[5], abs=0.05) for row in table.rows)


def test_ours_follow_the_papers_own_rule(bad: list[CaseRow]) -> None:
    [table] = published_tables("multi_encoder")
    [ours] = beside_ours(table, {"mine": bad})["ours"]
    scores = [row.dice if row.has_lesion else 0.0 for row in bad]
    assert ours["cells"][-1] == f"{100 * np.mean([score or 0.0 for score in scores]):.2f}"
    text = published_text(table, {"mine": bad})
    assert RULES["all_cases_zero"].text in text
    assert "mine (ours)" in text


def test_an_unknown_paper_is_named() -> None:
    with raises_user_error("unet", "rdau", "cgan_ac_caw", "mammo", "assgan", "multi_encoder", key="--published"):
        published_tables("unet")
