"""The files of an evaluation that hold its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bus_monai.metrics.aggregate import summarise_all
from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow, read_case_table
from bus_monai.metrics.write_scores import write_scores


def test_both_files_hold_the_same_rows(tmp_path: Path) -> None:
    truth = np.eye(16, dtype=bool)
    scores = [score_case(0.7 * np.roll(truth, shift, axis=1), truth & (shift < 3)) for shift in range(4)]
    rows = [CaseRow.of(s, id=f"c{i}", group=f"g{i // 2}", diagnosis="unknown") for i, s in enumerate(scores)]
    summaries = write_scores(tmp_path, rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv", "summary.json"]
    assert read_case_table(tmp_path / "cases.csv") == rows
    assert json.loads((tmp_path / "summary.json").read_text()) == summaries == summarise_all(rows)
    # of the three lesions one is met
    assert np.isclose(summaries["lesion"]["metrics"]["dice"]["mean"], 1 / 3)
