"""What a comparison of models comes to, computed once for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bus_monai.metrics.aggregate import Summary, summarise
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.paired import PairedTest, Ranking, paired_tests, ranking

RULE = "lesion"


@dataclass(frozen=True)
class Comparison:
    """Models that were evaluated on the same cases.

    Args:
        tables: rows of each model, by its name.
        metric: what the paired tests and the ranking look at.
        summaries: of each model under :data:`RULE`, by metric.
        tests: of each pair of models.
        ranking: mean ranks of the models.
    """

    tables: Mapping[str, Sequence[CaseRow]]
    metric: str
    summaries: Mapping[str, Mapping[str, Summary]]
    tests: Sequence[PairedTest]
    ranking: Ranking

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[CaseRow]], metric: str = "dice") -> Comparison:
        """Compare tables of cases, by a column of theirs that is a number.

        Raises:
            UserError: fewer than two models, or tables of different cases.
        """
        tests = paired_tests(tables, metric)
        summaries = {name: {s.metric: s for s in summarise(rows, RULE)} for name, rows in tables.items()}
        return cls(tables, metric, summaries, tests, ranking(tables, metric))
