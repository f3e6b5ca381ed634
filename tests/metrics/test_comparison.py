"""A comparison holds what its parts compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bus_monai.errors import UserError
from bus_monai.metrics.aggregate import summarise
from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.comparison import Comparison
from bus_monai.metrics.paired import paired_tests, ranking


def table(shift: int) -> list[CaseRow]:
    """Six squares, each predicted ``shift`` columns to the right."""
    rows = []
    for i in range(6):
        truth = np.zeros((16, 24), dtype=bool)
        truth[2 : 6 + i, 2 : 6 + i] = True
        scores = score_case(np.roll(truth, shift, axis=1).astype(float), truth)
        rows.append(CaseRow.of(scores, id=f"c{i}", group=f"g{i}", diagnosis="benign"))
    return rows


@pytest.mark.parametrize("metric", ["dice", "hd95_px"])
def test_it_holds_what_its_parts_compute(metric: str) -> None:
    tables = {"far": table(3), "near": table(1), "there": table(0)}
    comparison = Comparison.of(tables, metric)
    assert comparison.tests == paired_tests(tables, metric)
    assert comparison.ranking == ranking(tables, metric)
    assert list(comparison.ranking.ranks) == ["there", "near", "far"]
    for name, rows in tables.items():
        assert list(comparison.summaries[name].values()) == list(summarise(rows, "lesion"))
    assert comparison.summaries["there"]["dice"].mean == 1.0


def test_other_cases_are_refused() -> None:
    other = [replace(row, id=f"x{row.id}") for row in table(0)]
    with pytest.raises(UserError, match=r"^'one' and 'other' were evaluated on different cases \(12 differ, such as"):
        Comparison.of({"one": table(0), "other": other})
