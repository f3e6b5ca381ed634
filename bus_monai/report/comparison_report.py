"""One HTML page that compares evaluations of the same cases."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bus_monai.metrics.aggregate import DISTANCES, LOWER_IS_BETTER, RULES, summarise
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.metrics.paired import PairedTest, Ranking, paired_tests, ranking
from bus_monai.report.box_figure import box_figure
from bus_monai.report.files import COMPARISON, REPORT
from bus_monai.report.operating_figure import operating_figure
from bus_monai.report.page import embed, write_page
from bus_monai.report.published import Published, beside_ours
from bus_monai.report.rank_figure import rank_figure
from bus_monai.report.summary_table import interval, number
from bus_monai.weights import check_writable

RULE = "lesion"
METRICS = ("dice", "iou", "precision", "sensitivity", "specificity", "m_iou", *DISTANCES)


def write_comparison_report(
    tables: Mapping[str, Sequence[CaseRow]], folder: Path, *, metric: str = "dice", published: Sequence[Published] = ()
) -> Path:
    """Write ``report.html`` and ``comparison.csv``.

    Args:
        tables: rows of each model, by its name.
        folder: where both files go.
        metric: what the paired tests and the ranking look at.
        published: tables to print ours beside.

    Raises:
        UserError: fewer than two models, tables of different cases, or a folder that cannot be written to.
    """
    tests, ranks = paired_tests(tables, metric), ranking(tables, metric)
    rows = next(iter(tables.values()))
    models = {name: {s.metric: asdict(s) for s in summarise(part, RULE)} for name, part in tables.items()}
    curves = {name: c for name, part in tables.items() if (c := operating_curves(part)) is not None}
    check_writable(folder)
    _write_tests(folder / COMPARISON, tests)
    return write_page(
        folder / REPORT,
        "comparison_report.html.jinja",
        title=f"Comparison: {', '.join(tables)}",
        cases=len(rows),
        groups=len({row.group for row in rows}),
        rule=RULES[RULE].text,
        metrics=[name for name in METRICS if any(name in summary for summary in models.values())],
        models=models,
        boxes=embed(box_figure(tables)),
        operating=embed(operating_figure(curves)) if curves else None,
        metric=metric,
        lower=metric in LOWER_IS_BETTER,
        tests=tests,
        ranking=ranks,
        ranks=embed(rank_figure(ranks)),
        published=[beside_ours(table, tables) for table in published],
    )


def comparison_text(tables: Mapping[str, Sequence[CaseRow]], tests: Sequence[PairedTest], ranks: Ranking) -> str:
    """Lay out scores, tests and ranks for a terminal."""
    width = max(map(len, tables))
    lines = [RULES[RULE].text, ""]
    for name, rows in tables.items():
        summary = {s.metric: asdict(s) for s in summarise(rows, RULE)}
        scores = "  ".join(
            f"{metric} {number(summary[metric]['mean'])} {interval(summary[metric])}"
            for metric in ("dice", "iou", "hd95_px")
            if metric in summary
        )
        lines.append(f"{name:{width}}  {scores}")
    lines += ["", "mean ranks, 1 is best; models that differ by less than the critical difference are not told apart:"]
    lines += [f"{name:{width}}  {rank:.2f}" for name, rank in ranks.ranks.items()]
    lines += [f"critical difference {ranks.critical_difference:.2f}", "", "Wilcoxon signed rank, corrected by Holm:"]
    lines += [
        f"{test.first} - {test.second}: {test.difference:+.4f}, effect {test.effect:+.2f}, p {test.p_holm:.4g}"
        for test in tests
    ]
    return "\n".join(lines)


def _write_tests(path: Path, tests: Sequence[PairedTest]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PairedTest)])
        writer.writeheader()
        writer.writerows(asdict(test) for test in tests)
