"""One HTML page that compares evaluations of the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

from bus_monai.metrics.aggregate import DISTANCES, LOWER_IS_BETTER, RULES
from bus_monai.metrics.comparison import RULE, Comparison
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.metrics.paired import PairedTest
from bus_monai.metrics.write_table import write_table
from bus_monai.report.box_figure import box_figure
from bus_monai.report.files import COMPARISON, REPORT
from bus_monai.report.operating_figure import operating_figure
from bus_monai.report.page import embed, write_page
from bus_monai.report.published import Published, beside_ours
from bus_monai.report.rank_figure import rank_figure
from bus_monai.report.summary_table import interval, number
from bus_monai.weights import check_writable

METRICS = ("dice", "iou", "precision", "sensitivity", "specificity", "m_iou", *DISTANCES)


def write_comparison_report(comparison: Comparison, folder: Path, *, published: Sequence[Published] = ()) -> Path:
    """Write ``report.html`` and ``comparison.csv``.

    Args:
        comparison: of the models.
        folder: where both files go.
        published: tables to print ours beside.

    Raises:
        UserError: the folder cannot be written to.
    """
    tables = comparison.tables
    rows = next(iter(tables.values()))
    models = {name: {key: asdict(s) for key, s in part.items()} for name, part in comparison.summaries.items()}
    curves = {name: c for name, part in tables.items() if (c := operating_curves(part)) is not None}
    check_writable(folder)
    write_table(folder / COMPARISON, [field.name for field in fields(PairedTest)], map(astuple, comparison.tests))
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
        metric=comparison.metric,
        lower=comparison.metric in LOWER_IS_BETTER,
        tests=comparison.tests,
        ranking=comparison.ranking,
        ranks=embed(rank_figure(comparison.ranking)),
        published=[beside_ours(table, tables) for table in published],
    )


def comparison_text(comparison: Comparison) -> str:
    """Lay out scores, tests and ranks for a terminal."""
    width = max(map(len, comparison.tables))
    lines = [RULES[RULE].text, ""]
    for name, summaries in comparison.summaries.items():
        scores = "  ".join(
            f"{metric} {number(summaries[metric].mean)} {interval(asdict(summaries[metric]))}"
            for metric in ("dice", "iou", "hd95_px")
            if metric in summaries
        )
        lines.append(f"{name:{width}}  {scores}")
    lines += ["", "mean ranks, 1 is best; models that differ by less than the critical difference are not told apart:"]
    lines += [f"{name:{width}}  {rank:.2f}" for name, rank in comparison.ranking.ranks.items()]
    lines += [f"critical difference {comparison.ranking.critical_difference:.2f}", ""]
    lines += ["Wilcoxon signed rank, corrected by Holm:"]
    lines += [
        f"{test.first} - {test.second}: {test.difference:+.4f}, effect {test.effect:+.2f}, p {test.p_holm:.4g}"
        for test in comparison.tests
    ]
    return "\n".join(lines)
