"""Folds are written and read back, with mean and sample standard deviation."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bus_monai.metrics.folds import read_folds, score_folds, write_folds
from tests.report.conftest import make_table
from tests.user_errors import raises_user_error


def test_scores_of_folds_come_back(tmp_path: Path) -> None:
    scores = score_folds([make_table(0, 0.5), make_table(1, 4.0)])
    assert scores["dice"][0] > scores["dice"][1]
    write_folds(tmp_path / "folds.csv", scores)
    assert read_folds(tmp_path) == scores
    with (tmp_path / "folds.csv").open(newline="") as file:
        rows = {row["fold"]: float(row["dice"]) for row in csv.DictReader(file)}
    one, other = scores["dice"]
    assert rows["mean"] == pytest.approx((one + other) / 2)
    assert rows["standard deviation"] == pytest.approx(abs(one - other) / 2**0.5)


def test_what_is_no_table_of_folds(tmp_path: Path) -> None:
    assert read_folds(tmp_path) is None
    (tmp_path / "folds.csv").write_text("fold,dice\n0,many\n")
    with raises_user_error(path=tmp_path / "folds.csv"):
        read_folds(tmp_path)
