"""One HTML page that compares evaluations of the same cases, with published figures beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bus_monai.errors import check_choice
from bus_monai.io.atomic import check_writable, write_table
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import DETECTED_DISTANCES, DISTANCES, LOWER_IS_BETTER, RULES, means, summarize
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.compare import (
    COMPARED_RULE,
    POWER,
    SIGNIFICANCE_LEVEL,
    Comparison,
    FoldScores,
    PairedTest,
    fold_rows,
)
from bus_monai.metrics.operating_curves import operating_curves
from bus_monai.report.page import COMPARISON_FILE, REPORT_FILE, interval, number, p_value, place, write_page
from bus_monai.report.paper import (
    TABLES_FOLDER,
    check_paper_files,
    metric_name,
    remove_paper_files,
    write_paper_table,
)
from bus_monai.report.score_figures import box_figure, operating_figure, rank_figure

if TYPE_CHECKING:
    from bus_monai.inference.costs import Cost

COSTS_FILE, COSTS_TABLE = "costs.csv", "costs"
COST_COLUMNS = ("model", "parameters", "gflops", "megabytes", "images_per_second")
COST_HEADER = ("Model", "Parameters (M)", "GFLOPs", "MB", "Images per second", "Dice")
FIGURES = ("boxes", "operating_curves", "ranks")
TABLES = ("scores", "tests", "ranks", "folds")
COMPARED_METRICS = ("dice", "iou", "precision", "sensitivity", "specificity", "m_iou", *DISTANCES, *DETECTED_DISTANCES)


@dataclass(frozen=True)
class Published:
    """A table of a paper, ``published.json``; all values in percent.

    Args:
        paper: short name of the system.
        title: which table, of which data.
        source: authors, journal, DOI.
        rule: the paper's own aggregation, a key of :data:`~bus_monai.metrics.aggregate.RULES`.
        differences: in words, what differs from our protocol.
        columns: printed name and our metric of each, ``auc`` for that of all pixels together; no metric where we have
            none.
        rows: name and values, as printed.
    """

    paper: str
    title: str
    source: str
    rule: str
    differences: str
    columns: Sequence[Mapping[str, str | None]]
    rows: Sequence[Sequence[Any]]


def published_tables(paper: str | None = None) -> list[Published]:
    """Return the tables of a paper, or all.

    Raises:
        UserError: there is no such paper.
    """
    content = json.loads(files("bus_monai.report").joinpath("published.json").read_text(encoding="utf-8"))
    tables = [Published(**table) for table in content]
    if paper is None:
        return tables
    papers = list(dict.fromkeys(table.paper for table in tables))
    check_choice("--published", paper, papers)
    return [table for table in tables if table.paper == paper]


def beside_ours(table: Published, tables: Mapping[str, Sequence[CaseRow]]) -> dict[str, Any]:
    """Return what a page prints: the published rows, and ours by the same aggregation rule, as text.

    Args:
        table: of a paper.
        tables: rows of each of our models, by its name.
    """
    ours = []
    for name, rows in tables.items():
        values = means(rows, table.rule)
        if curves := operating_curves(rows):
            values["auc"] = curves.auc
        scores = [values.get(column["metric"] or "") for column in table.columns]
        ours.append({"name": name, "cells": ["" if score is None else f"{100 * score:.2f}" for score in scores]})
    return {
        "title": table.title,
        "source": table.source,
        "rule_text": RULES[table.rule].text,
        "differences": table.differences,
        "columns": [column["name"] for column in table.columns],
        "ours": ours,
        "rows": [
            {"name": name, "cells": ["" if value is None else f"{value:.2f}" for value in values]}
            for name, *values in table.rows
        ],
    }


def published_text(table: Published, tables: Mapping[str, Sequence[CaseRow]]) -> str:
    """Lay the table out for a terminal, ours first."""
    content = beside_ours(table, tables)
    rows = [{**row, "name": f"{row['name']} (ours)"} for row in content["ours"]] + content["rows"]
    width = max(len(row["name"]) for row in rows)
    lines = [f"\n{table.title}. {table.source}. {content['rule_text']}", table.differences]
    lines.append(" " * width + "".join(f"{column:>13}" for column in content["columns"]))
    lines += [f"{row['name']:{width}}" + "".join(f"{cell:>13}" for cell in row["cells"]) for row in rows]
    return "\n".join(lines)


def check_comparison_files(folder: Path) -> None:
    """Check, before models are evaluated or measured, that what a comparison will replace is from an earlier one.

    Raises:
        UserError: a file is there that this package did not write.
    """
    columns = [field.name for field in fields(PairedTest)]
    check_run_files(folder, tables={COMPARISON_FILE: columns}, marked=[REPORT_FILE], option="--out")
    check_cost_files(folder)
    check_paper_files(folder, figures=FIGURES, tables=_tables(), option="--out")


def check_cost_files(folder: Path) -> None:
    """Check, before models are measured, that what their costs will replace is from an earlier run.

    Raises:
        UserError: a file is there that this package did not write.
    """
    check_run_files(folder, tables={COSTS_FILE: COST_COLUMNS}, option="--out")
    check_paper_files(folder, tables=[COSTS_TABLE], option="--out")


def _tables() -> list[str]:
    """Return the names of all tables that a comparison may leave."""
    return [*TABLES, COSTS_TABLE, *(f"published_{i}" for i in range(1, 1 + len(published_tables())))]


def write_comparison_report(
    comparison: Comparison,
    folder: Path,
    *,
    published: Sequence[Published] = (),
    folds: Mapping[str, FoldScores] = MappingProxyType({}),
    costs: Sequence[Sequence[str]] = (),
) -> Path:
    """Write ``report.html`` and ``comparison.csv``, and for a paper the folders ``figures`` and ``tables``.

    What an earlier comparison left beside them, and this one has not, is removed.

    Args:
        comparison: of the models.
        folder: where all go.
        published: tables to print ours beside.
        folds: of the models that were cross-validated, by their names.
        costs: rows of :func:`cost_lines`, for the page alone.

    Raises:
        UserError: the folder cannot be written to.
    """
    tables = comparison.tables
    rows = next(iter(tables.values()))
    models = {name: {key: asdict(s) for key, s in part.items()} for name, part in comparison.summaries.items()}
    curves = {name: c for name, part in tables.items() if (c := operating_curves(part)) is not None}
    check_writable(folder)
    check_comparison_files(folder)
    remove_paper_files(folder, figures=FIGURES, tables=_tables())
    (folder / COSTS_FILE).unlink(missing_ok=True)
    write_table(folder / COMPARISON_FILE, [field.name for field in fields(PairedTest)], map(astuple, comparison.tests))
    metrics = [name for name in COMPARED_METRICS if any(name in summary for summary in models.values())]
    beside = [beside_ours(table, tables) for table in published]
    _write_tables(folder / TABLES_FOLDER, comparison, models, metrics, beside)
    by_model = {name: scores[comparison.metric] for name, scores in folds.items() if comparison.metric in scores}
    fold_lines = [[name, *map(number, values)] for name, values in fold_rows(by_model)] if _alike(by_model) else []
    if fold_lines:
        write_paper_table(folder / TABLES_FOLDER, "folds", ["Fold", *by_model], fold_lines)
    return write_page(
        folder / REPORT_FILE,
        "comparison_report.html.jinja",
        title=f"Comparison: {', '.join(tables)}",
        cases=len({row.id for row in rows}),
        groups=len({row.group for row in rows}),
        rule=RULES[COMPARED_RULE].text,
        metrics=metrics,
        models=models,
        boxes=place(box_figure(tables), folder, "boxes"),
        operating=place(operating_figure(curves), folder, "operating_curves") if curves else None,
        metric=comparison.metric,
        lower=comparison.metric in LOWER_IS_BETTER,
        tests=comparison.tests,
        power=POWER,
        level=SIGNIFICANCE_LEVEL,
        folds=fold_lines,
        folded=list(by_model),
        ranking=comparison.ranking,
        ranks=place(rank_figure(comparison.ranking), folder, "ranks"),
        costs=costs,
        cost_header=COST_HEADER,
        published=beside,
    )


def cost_lines(costs: Mapping[str, Cost], tables: Mapping[str, Sequence[CaseRow]]) -> list[list[str]]:
    """Return what a page prints of costs, Dice beside: a row per model under :data:`COST_HEADER`.

    Args:
        costs: by the name of the model.
        tables: rows of each model, by the same names.
    """
    lines = []
    for name, cost in costs.items():
        dice = next((asdict(s) for s in summarize(tables[name], COMPARED_RULE) if s.metric == "dice"), None)
        figures = (
            f"{cost.parameters / 1e6:.2f}",
            f"{cost.gflops:.2f}",
            f"{cost.megabytes:.1f}",
            f"{cost.images_per_second:.2f}",
        )
        lines.append([name, *figures, f"{number(dice['mean'])} {interval(dice)}" if dice else ""])
    return lines


def write_costs(folder: Path, costs: Mapping[str, Cost], lines: Sequence[Sequence[str]]) -> None:
    """Write ``costs.csv``, a row per model, and for a paper the table ``costs``.

    Args:
        folder: where both go.
        costs: by the name of the model.
        lines: of :func:`cost_lines`.

    Raises:
        UserError: a file cannot be written.
    """
    write_table(folder / COSTS_FILE, COST_COLUMNS, ([name, *astuple(cost)] for name, cost in costs.items()))
    write_paper_table(folder / TABLES_FOLDER, COSTS_TABLE, COST_HEADER, lines)


def costs_text(lines: Sequence[Sequence[str]]) -> str:
    """Lay the rows of :func:`cost_lines` out for a terminal."""
    rows = [COST_HEADER, *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = ["  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)) for row in rows]
    return "\n".join(f"{row[0]:{widths[0]}}  {text}" for row, text in zip(rows, texts, strict=True))


def _write_tables(
    folder: Path,
    comparison: Comparison,
    models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    metrics: Sequence[str],
    published: Sequence[Mapping[str, Any]],
) -> None:
    scores = [
        [name, *(f"{number(s[key]['mean'])} {interval(s[key])}" if key in s else "" for key in metrics)]
        for name, s in models.items()
    ]
    write_paper_table(folder, "scores", ["Model", *map(metric_name, metrics)], scores)
    tests = [
        [
            f"{t.first} - {t.second}",
            f"{number(t.difference)} {interval({'low': t.low, 'high': t.high})}",
            number(t.effect),
            p_value(t.p),
            p_value(t.p_holm),
            str(t.groups),
            "none" if t.detectable is None else number(t.detectable),
        ]
        for t in comparison.tests
    ]
    holm = f"p (Holm, {len(tests)} test{'s' * (len(tests) > 1)})"
    header = ["Models", "Difference [95 %]", "Effect", "p", holm, "Groups", f"Detectable (power {POWER:.0%})"]
    write_paper_table(folder, "tests", header, tests)
    ranks = [[name, f"{rank:.2f}"] for name, rank in comparison.ranking.ranks.items()]
    write_paper_table(folder, "ranks", ["Model", "Mean rank"], ranks)
    for i, table in enumerate(published, start=1):
        rows = [[f"{row['name']} (ours)", *row["cells"]] for row in table["ours"]]
        rows += [[row["name"], *row["cells"]] for row in table["rows"]]
        write_paper_table(folder, f"published_{i}", ["Model", *table["columns"]], rows)


def _alike(folds: Mapping[str, Sequence[float]]) -> bool:
    return len({len(values) for values in folds.values()}) == 1


def comparison_text(comparison: Comparison) -> str:
    """Lay out scores, tests and ranks for a terminal."""
    width = max(map(len, comparison.tables))
    lines = [RULES[COMPARED_RULE].text, ""]
    for name, summaries in comparison.summaries.items():
        scores = "  ".join(
            f"{metric_name(metric)} {number(summaries[metric].mean)} {interval(asdict(summaries[metric]))}"
            for metric in ("dice", "iou", "hd95_px")
            if metric in summaries
        )
        lines.append(f"{name:{width}}  {scores}")
    lines += ["", "mean ranks, 1 is best; models that differ by less than the critical difference are not told apart:"]
    lines += [f"{name:{width}}  {rank:.2f}" for name, rank in comparison.ranking.ranks.items()]
    lines += [f"critical difference {comparison.ranking.critical_difference:.2f}", ""]
    lines.append(
        "first minus second with paired 95 % interval; Wilcoxon signed rank, p corrected by Holm for all pairs;"
    )
    lines.append(f"detectable is the smallest true difference that is seen with a power of {POWER:.0%}:")
    lines += [
        f"{test.first} - {test.second}: {test.difference:+.4f} {interval(asdict(test))}, effect {test.effect:+.2f}, "
        f"p {test.p_holm:.4g}, detectable {'none' if test.detectable is None else number(test.detectable)}"
        for test in comparison.tests
    ]
    return "\n".join(lines)
