"""Comparison of runs, and the published tables beside ours."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from bus_monai.metrics.aggregate import RULES, means
from bus_monai.metrics.case_table import CASE_COLUMNS, CaseRow
from bus_monai.metrics.compare import Comparison
from bus_monai.metrics.operating_curves import operating_curves
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
    folds = {"good": {"dice": [0.8, 0.9]}, "bad": {"dice": [0.5, 0.7]}}
    page = write_comparison_report(comparison, tmp_path, published=published_tables("rdau"), folds=folds).read_text()
    [test] = comparison.tests
    assert test.difference > 0
    assert test.p_holm < 0.05
    with (tmp_path / "comparison.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert float(row["p_holm"]) == test.p_holm
    assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
    assert float(row["detectable"]) == test.detectable
    assert "by Holm for the 1 test of this table" in page
    assert (row["first"], row["second"], int(row["groups"])) == ("good", "bad", test.groups)
    assert f"<td>{number(test.effect)}</td>" in page
    for rows in models.values():
        assert f"{number(means(rows, 'lesion')['dice'])} <span>[" in page
    assert "RDA-NET-GAN, 57 test images" in unescape(page)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    told = unescape(re.sub("<[^>]+>", "", page))
    for name in ("scores", "tests", "ranks", "folds", "published_1"):
        with (tmp_path / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        tex = (tmp_path / "tables" / f"{name}.tex").read_text("utf-8")
        assert tex.count(r" \\") == 1 + len(lines)
        for line in lines:
            assert len(line) == len(header)
            for cell in line:
                assert cell.removesuffix(" (ours)") in told or name == "ranks"
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("boxes", "operating_curves", "ranks") for kind in ("png", "svg")
    }
    text = comparison_text(comparison)
    assert f"good - bad: {test.difference:+.4f}" in text


def test_nothing_is_left_of_the_comparison_before(tmp_path: Path, good: list[CaseRow], bad: list[CaseRow]) -> None:
    comparison = Comparison.of({"good": good, "bad": bad})
    write_comparison_report(comparison, tmp_path)
    first = {path.name for path in tmp_path.rglob("*")}
    folds = {"good": {"dice": [0.8, 0.9]}, "bad": {"dice": [0.5, 0.7]}}
    write_comparison_report(comparison, tmp_path, published=published_tables("assgan"), folds=folds)
    assert {"published_1.csv", "folds.tex"} < {path.name for path in tmp_path.rglob("*")}
    write_comparison_report(comparison, tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == first


def test_published_tables_are_whole() -> None:
    papers = {table.paper for table in published_tables()}
    assert papers == {"rdau", "cgan_ac_caw", "mammo", "assgan", "multi_encoder"}
    for table in published_tables():
        assert table.rule in RULES
        assert table.source
        assert table.differences.endswith(".")
        for column in table.columns:
            assert column["metric"] in {None, "auc", *RULES[table.rule].fractions}
            assert column["metric"] in {None, "auc", "f1", *CASE_COLUMNS}
        for _, *values in table.rows:
            assert len(values) == len(table.columns)
            assert all(value is None or 0 <= value <= 100 for value in values)


def test_published_figures_satisfy_what_the_papers_imply() -> None:
    """Dice = 2 IoU / (1 + IoU) for sums of pixels (ASSGAN), F1 = Dice for each image (multi-encoder)."""
    for table in published_tables("assgan"):
        if [column["name"] for column in table.columns] == ["IoU", "accuracy", "Dice"]:
            for name, iou, _, dice in table.rows:
                assert dice == pytest.approx(200 * iou / (100 + iou), abs=0.02), name
    table = published_tables("multi_encoder")[0]
    assert len(table.rows) == 25
    assert all(row[3] == pytest.approx(row[5], abs=0.05) for row in table.rows)


def test_trusted_images_and_iou_over_gamma_stand_beside_ours(bad: list[CaseRow]) -> None:
    [table] = [table for table in published_tables("assgan") if "gamma" in table.title]
    assert [list(row) for row in table.rows] == [
        ["gamma 0.2, 986 images trusted", 62.81],
        ["gamma 0.5, 667 images trusted", 71.23],
        ["gamma 0.8, 47 images trusted", 67.43],
    ]
    # the middle one is the training of table 7
    [seventh] = [table for table in published_tables("assgan") if "table 7" in table.title]
    assert seventh.rows[-1][:2] == ["ASSGAN", table.rows[1][1]]
    lines = published_text(table, {"mine": bad}).splitlines()
    assert [line.split()[-1] for line in lines[-4:]] == [
        f"{100 * means(bad, 'pooled')['iou']:.2f}",
        *(f"{row[1]:.2f}" for row in table.rows),
    ]


def test_ours_follow_the_papers_own_rule(bad: list[CaseRow]) -> None:
    table = published_tables("multi_encoder")[0]
    [ours] = beside_ours(table, {"mine": bad})["ours"]
    scores = [row.dice if row.has_lesion else 0.0 for row in bad]
    assert ours["cells"][-1] == f"{100 * np.mean([score or 0.0 for score in scores]):.2f}"
    text = published_text(table, {"mine": bad})
    assert RULES["all_cases_zero"].text in text
    assert "mine (ours)" in text


def test_an_unknown_paper_is_named() -> None:
    with raises_user_error("unet", "rdau", "cgan_ac_caw", "mammo", "assgan", "multi_encoder", key="--published"):
        published_tables("unet")


def test_ours_beside_the_papers_auc(bad: list[CaseRow]) -> None:
    table = published_tables("multi_encoder")[1]
    curves = operating_curves(bad)
    assert curves is not None
    content = beside_ours(table, {"mine": bad})
    assert content["ours"] == [{"name": "mine", "cells": ["", "", f"{100 * curves.auc:.2f}"]}]
    # of pixels, not of cases
    assert content["rule_text"] == RULES["pooled"].text
    assert content["rows"][1] == {"name": "2: CBAM, R+D+E, Dice", "cells": ["", "89.00", "94.00"]}


def test_the_parents_dice_stands_beside_ours_by_its_own_rule(bad: list[CaseRow]) -> None:
    [table] = published_tables("rdau")
    assert table.rule == "batch_soft"
    ours = beside_ours(table, {"mine": bad})["ours"][0]["cells"]
    columns = [name["name"] for name in table.columns]
    for name, metric in (("Dice", "dice"), ("F1", "f1")):
        assert ours[columns.index(name)] == f"{100 * means(bad, 'batch_soft')[metric]:.2f}"


def test_paired_intervals_are_told(bad: list[CaseRow]) -> None:
    better = [replace(row, dice=min(1.0, row.dice + 0.1)) if row.dice is not None else row for row in bad]
    comparison = Comparison.of({"bad": bad, "better": better})
    (test,) = comparison.tests
    assert test.low is not None
    assert test.low <= test.difference < 0
    assert f"bad - better: {test.difference:+.4f} [" in comparison_text(comparison)
