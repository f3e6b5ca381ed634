"""One HTML page about an evaluation, computed from its table of cases, and about the training before it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError, reading
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import (
    CASES_FILE,
    DATA_FILE,
    FOLDS_FILE,
    ROBUSTNESS_FILE,
    RULES,
    SUMMARY_FILE,
    summarize,
    summarize_all,
)
from bus_monai.metrics.case_table import CASE_COLUMNS, CaseRow, by_diagnosis, by_lesion_size, read_case_table
from bus_monai.metrics.compare import COMPARED_RULE, FoldScores, fold_rows, read_folds
from bus_monai.metrics.findings import FINDING_RATES, findings_curve, reliability
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.report.comparison_report import check_comparison_files
from bus_monai.report.page import (
    EXAMPLES_FILE,
    OVERLAYS_FILE,
    REPORT_FILE,
    embed,
    interval,
    number,
    place,
    read_history,
    write_page,
)
from bus_monai.report.paper import (
    TABLES_FOLDER,
    check_paper_files,
    metric_name,
    remove_paper_files,
    save_figure,
    write_paper_table,
)
from bus_monai.report.score_figures import (
    agreement_figure,
    box_figure,
    curves_figure,
    findings_figure,
    operating_figure,
)

CURVES_FILE = "curves_{}.png"
"""Of a model."""
FIGURES = ("training", "boxes", "operating_curves", "findings", "areas")
TABLES = ("scores", "measures", "subgroups", "disturbed", "folds")
SPLITS_TABLE = "splits"
PAGE_METRICS = ("dice", "iou", "sensitivity", "precision")
FOLD_METRICS = (*PAGE_METRICS, "hd95_px")


def check_evaluation_folders(
    out: Path, splits: Iterable[Path], folders: Iterable[Path], *, names: Collection[str]
) -> None:
    """Check, before anything is evaluated, that what will be replaced is from an earlier run.

    Args:
        out: folder of all.
        splits: folder of each split, with the page that compares models where there are several.
        folders: of each evaluation.
        names: of the models.

    Raises:
        UserError: a file is there that this package did not write.
    """
    check_run_files(out, marked=[REPORT_FILE, *map(CURVES_FILE.format, names)], option="--out")
    check_paper_files(out, tables=[SPLITS_TABLE], option="--out")
    for below in splits if len(names) > 1 else ():
        check_comparison_files(below)
    for folder in folders:
        check_paper_files(folder, figures=FIGURES, tables=TABLES, option="--out")
        check_run_files(
            folder,
            tables={CASES_FILE: CASE_COLUMNS},
            beside=[SUMMARY_FILE, DATA_FILE, ROBUSTNESS_FILE, FOLDS_FILE],
            marked=[REPORT_FILE, EXAMPLES_FILE, OVERLAYS_FILE],
            option="--out",
        )


def write_evaluation_report(folder: Path, *, segmented: Path | None = None) -> Path:
    """Write ``report.html`` from ``cases.csv`` of ``folder``, and from what else lies there.

    That is what evaluation, training, cross-validation and robustness leave: ``data.json``, ``overlays.png``,
    ``history.csv``, ``folds.csv`` and ``robustness.json``.

    Args:
        folder: of the evaluation.
        segmented: a picture of what the model made of other files.

    Raises:
        UserError: there is no table of cases, or one of the files is broken.
    """
    if not (folder / CASES_FILE).is_file():
        raise UserError(
            f"'{folder / CASES_FILE}' does not exist: evaluate into {folder} first.", path=folder / CASES_FILE
        )
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
    data, disturbed = (_read_json(folder / file) for file in (DATA_FILE, ROBUSTNESS_FILE))
    history = read_history(folder)
    folds = _fold_table(read_folds(folder))
    measures = []
    if curves:
        measures += [
            ("Area under ROC, all pixels", curves.auc),
            ("Average precision, all pixels", curves.average_precision),
            ("Expected calibration error, all pixels", curves.calibration_error),
        ]
    froc = curve.froc(FINDING_RATES) or {}
    if told and curve.truths:
        measures += [(f"Lesions found at {rate} false findings per image", found) for rate, found in froc.items()]
        measures += [
            ("Expected calibration error of findings", told.calibration_error),
            ("Brier score of findings", told.brier),
        ]
    if agreement:
        measures += [
            (f"Predicted minus true area ({agreement.unit})", agreement.bias),
            (f"Lower limit of agreement ({agreement.unit})", agreement.low),
            (f"Upper limit of agreement ({agreement.unit})", agreement.high),
        ]
    remove_paper_files(folder, figures=FIGURES, tables=TABLES)
    _write_tables(folder / TABLES_FOLDER, summaries, measures, subgroups, disturbed, folds)
    return write_page(
        folder / REPORT_FILE,
        "evaluation_report.html.jinja",
        title=f"Evaluation: {name}",
        data=data,
        rows=sorted(rows, key=lambda row: (2.0 if row.dice is None else row.dice, row.id)),
        cases=len({row.id for row in rows}),
        groups=len({row.group for row in rows}),
        summaries=summaries,
        training=place(curves_figure(history), folder, "training") if history else None,
        overlays=embed(folder / OVERLAYS_FILE) if (folder / OVERLAYS_FILE).is_file() else None,
        segmented=embed(segmented) if segmented else None,
        boxes=place(box_figure({name: rows}), folder, "boxes") if any(row.has_lesion for row in rows) else None,
        measures=measures,
        operating=place(operating_figure({name: curves}), folder, "operating_curves") if curves else None,
        findings=place(findings_figure(curve, told), folder, "findings") if told and curve.truths else None,
        subgroups=subgroups,
        folds=folds,
        robustness=disturbed,
        areas=place(agreement_figure(agreement), folder, "areas") if agreement else None,
    )


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    with reading(path, "JSON", errors=(ValueError,), remedy="evaluate again"):
        return json.loads(path.read_text(encoding="utf-8"))


def _fold_table(folds: FoldScores | None) -> list[list[str]]:
    """Return the header and a row for each fold, mean and standard deviation."""
    if folds is None:
        return []
    shown = {key: folds[key] for key in FOLD_METRICS if key in folds}
    return [["Fold", *map(metric_name, shown)], *([name, *map(number, values)] for name, values in fold_rows(shown))]


def _write_tables(
    folder: Path,
    summaries: Mapping[str, Mapping[str, Any]],
    measures: Sequence[tuple[str, float]],
    subgroups: Mapping[str, Sequence[Mapping[str, Any]]],
    disturbed: Mapping[str, Mapping[str, Any]] | None,
    folds: Sequence[Sequence[str]],
) -> None:
    scores = [
        [rule, metric_name(key), number(value["mean"]), interval(value), str(value["n_cases"]), str(value["n_groups"])]
        for rule, part in summaries.items()
        for key, value in part["metrics"].items()
    ]
    write_paper_table(folder, "scores", ["Rule", "Metric", "Mean", "95 % interval", "Cases", "Groups"], scores)
    write_paper_table(folder, "measures", ["Measure", "Value"], [[name, number(value)] for name, value in measures])
    if folds:
        write_paper_table(folder, "folds", folds[0], folds[1:])
    parts = [
        [part["name"], str(part["cases"]), number(part["dice"]["mean"]), interval(part["dice"]), part["missed"]]
        for group in subgroups.values()
        for part in group
    ]
    write_paper_table(folder, "subgroups", ["Part", "Cases", "Dice", "95 % interval", "Missed"], parts)
    if disturbed:
        keys = ("dice", "dice_difference", "false_positive_rate", "false_positive_rate_difference")
        header = ["Images", "Dice", "Difference", metric_name("false_positive_rate"), "Difference"]
        cells = [[name, *(_with_interval(s.get(key)) for key in keys)] for name, s in disturbed.items()]
        write_paper_table(folder, "disturbed", header, cells)


def _with_interval(score: Mapping[str, Any] | None) -> str:
    return f"{number(score['mean'])} {interval(score)}" if score else ""


def _parts(parts: Mapping[str, Sequence[CaseRow]]) -> list[dict[str, Any]]:
    found = []
    for name, rows in parts.items():
        cases = len({row.id for row in rows})
        # the mean of networks that are scored together
        missed = sum(row.missed for row in rows) * cases / len(rows)
        scores = {summary.metric: asdict(summary) for summary in summarize(rows, "lesion")}
        found.append({"name": name, "cases": cases, "missed": f"{missed:g}", **scores})
    return found


def write_split_report(tables: Mapping[str, Mapping[str, Sequence[CaseRow]]], folder: Path) -> Path:
    """Write ``report.html``, and ``curves_NAME.png`` with the ROC curves of every split of each model.

    Args:
        tables: rows of each split by its name, by name of the model.
        folder: has a folder of each split, with the pages that this one leads to.
    """
    models = {name: _model(name, splits, folder, alone=len(tables) == 1) for name, splits in tables.items()}
    lines = [
        [
            name,
            *(split["name"], str(split["cases"])),
            *(_with_interval(split["scores"].get(key)) for key in PAGE_METRICS),
            "" if split["auc"] is None else number(split["auc"]),
        ]
        for name, model in models.items()
        for split in model["splits"]
    ]
    header = ["Model", "Split", "Cases", *map(metric_name, PAGE_METRICS), "Area under ROC"]
    write_paper_table(folder / TABLES_FOLDER, SPLITS_TABLE, header, lines)
    return write_page(
        folder / REPORT_FILE,
        "split_report.html.jinja",
        title=f"Splits: {', '.join(tables)}",
        rule=RULES[COMPARED_RULE].text,
        metrics=PAGE_METRICS,
        models=models,
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
                "cases": len({row.id for row in rows}),
                "scores": {score.metric: asdict(score) for score in summarize(rows, COMPARED_RULE)},
                "auc": curves[split].auc if split in curves else None,
            }
            for split, rows in splits.items()
        ],
    }
