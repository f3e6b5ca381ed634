"""Cross-validation: a training for each fold, and evaluations that are pooled, over folds or over generators."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from bus_monai.bundle.models import TrainedModel, known_in
from bus_monai.bundle.registry import EVALUATE_CONFIG, TRAINED_FILE, output_format
from bus_monai.bundle.run import evaluate_model, train_run
from bus_monai.bundle.settings import keep_to_first_start, read_settings
from bus_monai.data.datalist import Case
from bus_monai.data.protocols import FOLDS
from bus_monai.errors import UserError, reading
from bus_monai.handlers.mlflow import ParentRun
from bus_monai.inference.predictor import Predictor
from bus_monai.io.atomic import check_writable, write_json
from bus_monai.io.image import read_masks
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import (
    CASES_FILE,
    DATA_FILE,
    FOLDS_FILE,
    ROBUSTNESS_FILE,
    SUMMARY_FILE,
    means,
    write_scores,
)
from bus_monai.metrics.case_table import CASE_COLUMNS, read_case_table
from bus_monai.metrics.classification import macro_roc
from bus_monai.metrics.compare import FoldScores, fold_rows, join_folds, score_folds, write_folds
from bus_monai.metrics.segmentation import score_case
from bus_monai.metrics.shapes import (
    SHAPE_COLUMNS,
    SHAPE_FIGURES,
    found_scores,
    read_shape_rows,
    shape_scores,
    summary_lines,
)
from bus_monai.networks.mutual_generators import GENERATOR_USES
from bus_monai.report.evaluation_report import FIGURES, TABLES, write_evaluation_report
from bus_monai.report.page import (
    CONFUSION_FILE,
    EXAMPLES_FILE,
    FOLD_ROC_FILE,
    OVERLAYS_FILE,
    REPORT_FILE,
    ROC_FILE,
    SHAPE_ROWS_FILE,
    remove_examples,
)
from bus_monai.report.paper import check_paper_files, save_figure
from bus_monai.report.score_figures import fold_roc_figure
from bus_monai.report.shape_report import SHAPES_TABLE, write_shape_report
from bus_monai.sources.read import read_source
from bus_monai.transforms.image_region import find_regions

EACH_GENERATOR = "each"
"""Of ``used_generator``: the scores of both, of which the tables of ASSGAN print the mean."""
Pooled = tuple[Mapping[str, float], Sequence[Path]]
"""Metrics for MLflow, and the files that were written, the one to read first at the end."""


def pool_cases(out: Path, folds: Sequence[Path]) -> Pooled:
    """Report on the segmented test cases of all folds: together in ``cases.csv``, ``summary.json`` and ``report.html``.

    Each fold by itself, with mean and standard deviation over folds, is a row of ``folds.csv``.
    """
    tables = [read_case_table(fold / CASES_FILE) for fold in folds]
    rows = [row for table in tables for row in table]
    remove_examples(out)
    write_scores(out, rows)
    _pool_data(out, folds)
    table = _tell_folds(out, score_folds(tables), ("dice", "iou"))
    page = write_evaluation_report(out)
    pooled = {f"{key}_at_source": value for key, value in means(rows, "lesion").items()}
    return pooled, [out / CASES_FILE, out / SUMMARY_FILE, *table, page]


def _pool_data(out: Path, folds: Sequence[Path]) -> None:
    """Write ``data.json`` of what all folds tested together, if each fold says what it tested.

    Its digest is that of the folds' digests in their order, each of which covers how its data were split.
    """
    files = [fold / DATA_FILE for fold in folds]
    if not all(file.is_file() for file in files):
        return
    found = []
    for file in files:
        with reading(file, "JSON", errors=(ValueError,), remedy="evaluate again"):
            found.append(json.loads(file.read_text(encoding="utf-8")))
    write_json(
        out / DATA_FILE,
        {
            "digest": hashlib.sha256("".join(data["digest"] for data in found).encode()).hexdigest(),
            "synthetic": any(data["synthetic"] for data in found),
            "test": [case for data in found for case in data.get("test", [])],
        },
    )


def pool_shapes(out: Path, folds: Sequence[Path]) -> Pooled:
    """Report on the classified test masses of all folds together, each told by the network that did not learn from it.

    Writes ``shapes.csv``, ``summary.json`` and the figures of an evaluation, ``folds.csv`` with each fold by itself,
    and ``roc_folds.png``, the ROC averaged over folds, whose areas are in the summary.
    """
    tables = [read_shape_rows(fold / SHAPE_ROWS_FILE) for fold in folds]
    scores = [shape_scores(rows) for rows in tables]
    curves = [curve for rows in tables if (curve := macro_roc(*found_scores(rows))) is not None]
    areas = [fold["macro_auc"] for fold in scores if "macro_auc" in fold]
    files = [out / name for name in (SHAPE_ROWS_FILE, CONFUSION_FILE, ROC_FILE)]
    more = {}
    # a single one has no spread
    if len(areas) > 1:
        spread = float(np.std(areas, ddof=1))
        more = {"macro_auc_of_folds": {"mean": float(np.mean(areas)), "std": spread, "each": areas}}
    summary = write_shape_report(out, [row for rows in tables for row in rows], **more)
    if more:
        files.append(save_figure(fold_roc_figure(curves, areas), out / FOLD_ROC_FILE))
    print(summary_lines(summary))
    files += _tell_folds(out, join_folds(scores), SHAPE_FIGURES)
    figures = {key: summary[key]["value"] for key in SHAPE_FIGURES if summary.get(key)}
    return figures, [*files, out / SUMMARY_FILE]


def _tell_folds(out: Path, scores: FoldScores, keys: Sequence[str]) -> list[Path]:
    """Write ``folds.csv``, if the folds have a score in common, and print the columns ``keys``."""
    if not scores:
        return []
    write_folds(out / FOLDS_FILE, scores)
    shown = {key: scores[key] for key in keys if key in scores}
    for name, values in fold_rows(shown):
        print(f"{name:>18}  " + "  ".join(f"{key} {value:.3f}" for key, value in zip(shown, values, strict=True)))
    return [out / FOLDS_FILE]


POOLED_TABLES = {
    "segmentation": (CASES_FILE, CASE_COLUMNS, (REPORT_FILE, EXAMPLES_FILE, OVERLAYS_FILE), pool_cases),
    "classes": (SHAPE_ROWS_FILE, SHAPE_COLUMNS, (CONFUSION_FILE, ROC_FILE, FOLD_ROC_FILE), pool_shapes),
}
"""The table of a fold and its columns, marked files, and what reports on all of them, by what a bundle gives."""


def cross_validate(bundle: Path, out: Path, overrides: Mapping[str, Any]) -> Path:
    """Train and test each fold of protocol ``kfold5``, and report on all test cases together.

    Started again, it goes on where it was stopped: folds that were tested are not run again, and a training goes on
    from its last epoch. A folder keeps to the bundle, data and settings that it was begun with.

    Args:
        bundle: folder of the bundle.
        out: gets one folder per fold, the table of all, ``summary.json`` and the report or figures.
        overrides: keys of ``train.json``, ``dataset_dir`` among them.

    Returns:
        The path of the report, or of the summary where the bundle has no page.

    Raises:
        UserError: the bundle gives neither masks nor classes, the folder holds trainings of another bundle, data set or
            settings, a file that would be replaced is not from an earlier run, or what a training raises.
    """
    kind = output_format(bundle)
    if kind not in POOLED_TABLES:
        raise UserError(
            f"The results of the bundle '{bundle.name}' are not pooled over folds: give --vary or --preset instead."
        )
    table, columns, marked, pool = POOLED_TABLES[kind]
    check_writable(out)
    beside = [SUMMARY_FILE, FOLDS_FILE, DATA_FILE, ROBUSTNESS_FILE]
    check_run_files(out, tables={table: columns}, beside=beside, marked=marked, option="--out")
    figures, tables = (FIGURES, TABLES) if kind == "segmentation" else ((), (SHAPES_TABLE,))
    check_paper_files(out, figures=figures, tables=tables, option="--out")
    folders = [out / f"fold{fold}" for fold in range(FOLDS)]
    scored = any((folder / table).is_file() for folder in folders)
    keep_to_first_start(out, bundle.name, overrides, scored=scored)
    with ParentRun(out, experiment=bundle.name, name=f"{bundle.name}, {FOLDS} folds") as parent:
        for fold, folder in enumerate(folders):
            common = {"parent_run": parent.id, "run_name": f"fold {fold}"}
            if not (folder / table).is_file():
                settings = dict(overrides) | {"protocol": f"kfold5:{fold}"}
                train_run(bundle, folder, settings | common)
                weights = folder / TRAINED_FILE
                model = TrainedModel(folder.name, bundle, str(weights), read_settings(weights))
                asked = known_in(settings, bundle / "configs" / EVALUATE_CONFIG)
                evaluate_model(model, folder, asked | common | {"run_name": f"fold {fold}, test"})
    metrics, files = pool(out, folders)
    parent.complete({f"test_{key}": value for key, value in metrics.items()}, *files)
    return files[-1]


def evaluate_generators(model: TrainedModel, folder: Path, settings: Mapping[str, Any]) -> None:
    """Evaluate a model; with ``used_generator`` ``each`` both generators of ASSGAN, each with a row of a case.

    The means over the table are then the mean of the two generators' scores, which the paper prints (Zhai et al.,
    Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021); pooled pixels are those of both. Numbers of cases are
    of images, and a comparison takes each group's mean over both, as over trainings of one model.

    Args:
        model: what to evaluate.
        folder: gets the table of cases, and with ``each`` the folders ``first`` and ``second``.
        settings: keys of ``evaluate.json``.
    """
    if settings.get("used_generator") != EACH_GENERATOR:
        evaluate_model(model, folder, settings)
        return
    rows = []
    for used in GENERATOR_USES[1:]:
        evaluate_model(model, folder / used, dict(settings) | {"used_generator": used})
        rows += read_case_table(folder / used / CASES_FILE)
    remove_examples(folder)
    write_scores(folder, rows)
    copyfile(folder / GENERATOR_USES[1] / DATA_FILE, folder / DATA_FILE)


def held_out_scores(model: TrainedModel, cases: Sequence[Case]) -> list[float]:
    """Return Dice of each case; an image without lesion scores 1 where none is found, else 0."""
    predictor = Predictor(model, backend="torch", precision="fp32")
    scores = []
    for case in cases:
        source = read_source(case.image)
        truth = read_masks(case.masks, source.pixels.shape)
        found = score_case(predictor.predict(source.pixels, find_regions(source.pixels, source.images)), truth)
        scores.append(float(found.predicted_area_px == 0) if found.dice is None else found.dice)
    return scores
