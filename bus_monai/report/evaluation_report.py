"""One HTML page about an evaluation, computed from its table of cases, and one about a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError, reading
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import (
    CASES_FILE,
    RULES,
    SUMMARY_FILE,
    summarize,
    summarize_all,
)
from bus_monai.metrics.case_table import CASE_COLUMNS, CaseRow, by_diagnosis, by_lesion_size, read_case_table
from bus_monai.metrics.compare import COMPARED_RULE, ROBUSTNESS_FILE
from bus_monai.metrics.findings import FINDING_RATES, findings_curve, reliability
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.report.page import (
    EXAMPLES_FILE,
    HISTORY_FILE,
    OVERLAYS_FILE,
    REPORT_FILE,
    embed,
    interval,
    number,
    place,
    read_history,
    write_page,
)
from bus_monai.report.paper import TABLES_FOLDER, metric_name, save_figure, write_paper_table
from bus_monai.report.score_figures import (
    agreement_figure,
    box_figure,
    curves_figure,
    findings_figure,
    operating_figure,
)

CURVES_FILE = "curves_{}.png"
"""Of a model."""
PAGE_METRICS = ("dice", "iou", "sensitivity", "precision")


def check_evaluation_folders(
    out: Path, splits: Iterable[Path], folders: Iterable[Path], *, names: Iterable[str]
) -> None:
    """Check, before anything is evaluated, that what will be replaced is from an earlier run.

    Args:
        out: folder of all.
        splits: folder of each split, with the page that compares models.
        folders: of each evaluation.
        names: of the models.

    Raises:
        UserError: a file is there that this package did not write.
    """
    check_run_files(out, marked=[REPORT_FILE, *map(CURVES_FILE.format, names)], option="--out")
    for below in splits:
        check_run_files(below, marked=[REPORT_FILE], option="--out")
    for folder in folders:
        check_run_files(
            folder,
            tables={CASES_FILE: CASE_COLUMNS},
            beside=[SUMMARY_FILE, ROBUSTNESS_FILE],
            marked=[REPORT_FILE, EXAMPLES_FILE, OVERLAYS_FILE],
            option="--out",
        )


def write_evaluation_report(folder: Path) -> Path:
    """Write ``report.html`` from ``cases.csv`` of ``folder``, and ``overlays.png`` and ``robustness.json`` if there.

    Raises:
        UserError: there is no table of cases, or it is broken.
    """
    rows = read_case_table(folder / CASES_FILE)
    curves, agreement = operating_curves(rows), bland_altman(rows)
    curve = findings_curve([(row.findings, row.lesions) for row in rows])
    told = reliability([finding for row in rows for finding in row.findings])
    name = folder.resolve().name
    summaries = summarize_all(rows)
    subgroups = {
        "By diagnosis": _parts(by_diagnosis(rows)),
        "By the size of the lesion": _parts(by_lesion_size(rows)),
    }
    disturbed = json.loads((folder / ROBUSTNESS_FILE).read_text()) if (folder / ROBUSTNESS_FILE).is_file() else None
    _write_tables(folder / TABLES_FOLDER, summaries, subgroups, disturbed)
    return write_page(
        folder / REPORT_FILE,
        "evaluation_report.html.jinja",
        title=f"Evaluation: {name}",
        rows=sorted(rows, key=lambda row: (2.0 if row.dice is None else row.dice, row.id)),
        groups=len({row.group for row in rows}),
        summaries=summaries,
        overlays=embed(folder / OVERLAYS_FILE) if (folder / OVERLAYS_FILE).is_file() else None,
        boxes=place(box_figure({name: rows}), folder, "boxes") if any(row.has_lesion for row in rows) else None,
        curves=curves,
        operating=place(operating_figure({name: curves}), folder, "operating_curves") if curves else None,
        froc=curve.froc(FINDING_RATES),
        told=told,
        findings=place(findings_figure(curve, told), folder, "findings") if told and curve.truths else None,
        subgroups=subgroups,
        robustness=disturbed,
        agreement=agreement,
        areas=place(agreement_figure(agreement), folder, "areas") if agreement else None,
    )


def _write_tables(
    folder: Path,
    summaries: Mapping[str, Mapping[str, Any]],
    subgroups: Mapping[str, Sequence[Mapping[str, Any]]],
    disturbed: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    scores = [
        [rule, metric_name(key), number(value["mean"]), interval(value), str(value["n_cases"]), str(value["n_groups"])]
        for rule, part in summaries.items()
        for key, value in part["metrics"].items()
    ]
    write_paper_table(folder, "scores", ["Rule", "Metric", "Mean", "95 % interval", "Cases", "Groups"], scores)
    parts = [
        [part["name"], str(part["cases"]), number(part["dice"]["mean"]), interval(part["dice"]), str(part["missed"])]
        for group in subgroups.values()
        for part in group
    ]
    write_paper_table(folder, "subgroups", ["Part", "Cases", "Dice", "95 % interval", "Missed"], parts)
    if disturbed:
        keys = ("dice", "dice_difference", "false_positive_rate", "false_positive_rate_difference")
        header = ["Images", "Dice", "Difference", metric_name("false_positive_rate"), "Difference"]
        cells = [
            [name, *(f"{number(s[key]['mean'])} {interval(s[key])}" if key in s else "" for key in keys)]
            for name, s in disturbed.items()
        ]
        write_paper_table(folder, "disturbed", header, cells)


def _parts(parts: Mapping[str, Sequence[CaseRow]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "cases": len(rows),
            "missed": sum(row.missed for row in rows),
            **{summary.metric: asdict(summary) for summary in summarize(rows, "lesion")},
        }
        for name, rows in parts.items()
    ]


def write_split_report(tables: Mapping[str, Mapping[str, Sequence[CaseRow]]], folder: Path) -> Path:
    """Write ``report.html``, and ``curves_NAME.png`` with the ROC curves of every split of each model.

    Args:
        tables: rows of each split by its name, by name of the model.
        folder: has a folder of each split, with the pages that this one leads to.
    """
    return write_page(
        folder / REPORT_FILE,
        "split_report.html.jinja",
        title=f"Splits: {', '.join(tables)}",
        rule=RULES[COMPARED_RULE].text,
        metrics=PAGE_METRICS,
        models={name: _model(name, splits, folder, alone=len(tables) == 1) for name, splits in tables.items()},
    )


def _model(name: str, splits: Mapping[str, Sequence[CaseRow]], folder: Path, *, alone: bool) -> dict[str, Any]:
    # a split without a pixel of lesion has no curve
    curves = {split: found for split, rows in splits.items() if (found := operating_curves(rows)) is not None}
    figure = folder / CURVES_FILE.format(name)
    save_figure(operating_figure(curves), figure)
    return {
        "figure": embed(figure),
        "splits": [
            {
                "name": split,
                "page": f"{split}/{REPORT_FILE}" if alone else f"{split}/{name}/{REPORT_FILE}",
                "cases": len(rows),
                "scores": {score.metric: asdict(score) for score in summarize(rows, COMPARED_RULE)},
                "auc": curves[split].auc if split in curves else None,
            }
            for split, rows in splits.items()
        ],
    }


def write_run_report(folder: Path) -> Path:
    """Write ``report.html``, one file without references to others, from what training and evaluation left.

    Args:
        folder: the ``output_dir`` of both, with ``history.csv``, ``examples.png`` and ``summary.json``.

    Returns:
        The path of the page.

    Raises:
        UserError: one of them is missing, or the summary is broken.
    """
    for name, step in ((HISTORY_FILE, "train"), (SUMMARY_FILE, "evaluate"), (EXAMPLES_FILE, "evaluate")):
        if not (folder / name).is_file():
            raise UserError(f"'{folder / name}' does not exist: {step} with --output_dir {folder} first.")
    summary = folder / SUMMARY_FILE
    with reading(summary, "JSON", errors=(ValueError,), remedy=f"evaluate with --output_dir {folder} again"):
        summaries = json.loads(summary.read_text(encoding="utf-8"))
    return write_page(
        folder / REPORT_FILE,
        "run_report.html.jinja",
        title=folder.resolve().name,
        curves=place(curves_figure(read_history(folder)), folder, "training"),
        examples=embed(folder / EXAMPLES_FILE),
        summaries=summaries,
    )
