"""The papers' own tables, and ours beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bus_monai.errors import UserError
from bus_monai.metrics.aggregate import RULES, means
from bus_monai.metrics.case_table import CaseRow


@dataclass(frozen=True)
class Published:
    """A table of a paper, ``published.json``; all values in per cent.

    Args:
        paper: short name of the system.
        title: which table, of which data.
        source: authors, journal, DOI.
        rule: the paper's own aggregation, a key of :data:`~bus_monai.metrics.aggregate.RULES`.
        differences: in words, what differs from our protocol.
        columns: printed name and our metric of each; no metric where we have none.
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
    if paper not in papers:
        raise UserError(f"There is no published table of '{paper}': choose one of {', '.join(papers)}.")
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
        scores = [values.get(column["metric"] or "") for column in table.columns]
        ours.append({"name": name, "cells": ["" if score is None else f"{100 * score:.2f}" for score in scores]})
    return {
        "title": table.title,
        "source": table.source,
        "rule_text": RULES[table.rule].text,
        "differences": table.differences,
        "columns": [column["name"] for column in table.columns],
        "ours": ours,
        "rows": [{"name": name, "cells": [f"{value:.2f}" for value in values]} for name, *values in table.rows],
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
