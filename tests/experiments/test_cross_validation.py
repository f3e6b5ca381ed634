"""Folds side by side, as papers print them."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from bus_monai.experiments.cross_validation import pool_cases
from bus_monai.metrics.aggregate import means, write_scores
from bus_monai.metrics.case_table import CaseRow, read_case_table
from bus_monai.metrics.segmentation import score_case


def test_each_fold_with_mean_and_standard_deviation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = np.arange(64).reshape(8, 8) < 24
    folds, dices = [], []
    for fold, hits in enumerate((24, 20, 12)):
        row = CaseRow.of(
            score_case((np.arange(64).reshape(8, 8) < hits) * 1.0, truth), id=f"c{fold}", group=f"g{fold}",
            diagnosis="benign",
        )  # fmt: skip
        folds.append(tmp_path / f"fold{fold}")
        folds[-1].mkdir()
        write_scores(folds[-1], [row])
        dices.append(row.dice)
    pooled, files = pool_cases(tmp_path, folds)
    assert tmp_path / "folds.csv" in files
    with (tmp_path / "folds.csv").open(newline="") as file:
        table = {row["fold"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert [table[str(fold)] for fold in range(3)] == dices
    assert table["mean"] == pytest.approx(np.mean(dices)) == pooled["dice_at_source"]
    assert table["standard deviation"] == pytest.approx(np.std(dices, ddof=1))
    assert f"mean  dice {np.mean(dices):.3f}" in capsys.readouterr().out
    scores = means(read_case_table(tmp_path / "cases.csv"), "lesion")
    assert pooled == {f"{name}_at_source": value for name, value in scores.items()}


def test_what_the_folds_tested_is_told_of_all_together(tmp_path: Path) -> None:
    folds = [tmp_path / f"fold{fold}" for fold in range(2)]
    for number, fold in enumerate(folds):
        fold.mkdir()
        scores = score_case(np.ones((2, 2)), np.ones((2, 2)))
        write_scores(fold, [CaseRow.of(scores, id=f"c{number}", group=f"g{number}", diagnosis="benign")])
        sections = {"training": [{"id": "other"}], "test": [{"id": f"c{number}"}]}
        (fold / "data.json").write_text(json.dumps({"digest": f"d{number}", "synthetic": True, **sections}))
    pool_cases(tmp_path, folds)
    digest = hashlib.sha256(b"d0d1").hexdigest()
    pooled = json.loads((tmp_path / "data.json").read_text())
    assert pooled == {"digest": digest, "synthetic": True, "test": [{"id": "c0"}, {"id": "c1"}]}
    page = (tmp_path / "report.html").read_text()
    assert digest[:16] in page
    assert "generated phantoms" in page
