"""``bus-monai compare`` and ``bus-monai report``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus_monai.cli.options import Trust
from bus_monai.errors import UserError, check_choice

if TYPE_CHECKING:
    from bus_monai.bundle.models import TrainedModel
    from bus_monai.inference.costs import Cost

SEGMENTED_FILE = "results.csv"
"""What ``segment`` leaves, and no training."""


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Folders with a cases.csv, each DIR or NAME=DIR; or two label folders.")
    ],
    metric: Annotated[str, typer.Option(help="A column of cases.csv: dice, hd95_px, fp, ...")] = "dice",
    out: Annotated[Path, typer.Option(help="Folder of report.html and comparison.csv.")] = Path("comparison"),
    published: Annotated[
        str | None, typer.Option(help="Print the paper's tables beside ours: rdau, assgan, multi_encoder, ...")
    ] = None,
    costs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=BUNDLE:WEIGHTS", help="A run's model, whose costs go to the page and OUT/costs.csv."
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Compare evaluations of the same cases: paired tests and intervals, effect sizes, ranking, published figures.

    Runs of one NAME are trainings of one model, such as one per seed: the tests take each group's mean over them.

    bus-monai compare gan=results/gan0 gan=results/gan1 unet=results/unet0 unet=results/unet1

    A single run can be put beside published figures alone. --costs tells parameters, operations for an image, megabytes
    and images per second of each model that it names, beside its Dice. Two label folders are compared as
    'bus-monai data agreement' does.
    """
    from bus_monai.data.readers.own_images import is_label_folder
    from bus_monai.metrics.aggregate import CASES_FILE, SUMMARY_FILE
    from bus_monai.metrics.case_table import read_case_table
    from bus_monai.metrics.compare import Comparison, pool_trainings, read_folds
    from bus_monai.report.agreement_report import read_annotator, report_agreement
    from bus_monai.report.comparison_report import (
        check_comparison_files,
        check_cost_files,
        comparison_text,
        cost_lines,
        costs_text,
        published_tables,
        published_text,
        write_comparison_report,
        write_costs,
    )
    from bus_monai.report.page import SHAPE_ROWS_FILE

    papers = published_tables(published) if published else []
    folders = _names(runs)
    single = {name: part[0] for name, part in folders.items() if len(part) == 1}
    if len(folders) == len(single) == 2 and all(is_label_folder(folder) for folder in single.values()):
        (first, labels), (second, others) = single.items()
        print("\n\n".join(map(str, report_agreement(labels, read_annotator(others), (first, second), out))))
        return
    for folder in chain.from_iterable(folders.values()):
        if (folder / SHAPE_ROWS_FILE).is_file() and not (folder / CASES_FILE).is_file():
            raise UserError(f"'{folder}' holds shapes of masses, not scores of masks: read its {SUMMARY_FILE} instead.")
    tables = {
        name: pool_trainings(name, [read_case_table(folder / CASES_FILE) for folder in part])
        for name, part in folders.items()
    }
    models = _models(costs or [], tables, trust=trust)
    comparison = Comparison.of(tables, metric) if len(tables) > 1 or not (papers or models) else None
    if comparison:
        check_comparison_files(out)
    elif models:
        check_cost_files(out)
    measured = _measure(models, out) if models else {}
    lines = cost_lines(measured, tables)
    if comparison:
        folds = {name: found for name, folder in single.items() if (found := read_folds(folder))}
        page = write_comparison_report(comparison, out, published=papers, folds=folds, costs=lines)
        print(comparison_text(comparison))
        print(f"\n{page}")
    if measured:
        write_costs(out, measured, lines)
        print("\n" + costs_text(lines))
    for table in papers:
        print(published_text(table, tables))


def _models(specs: list[str], runs: Iterable[str], *, trust: bool) -> list[TrainedModel]:
    from bus_monai.bundle.models import parse_models

    models = parse_models(specs, segmenters=True, trust=trust)
    for model in models:
        check_choice("--costs", model.name, runs)
    return models


def _measure(models: list[TrainedModel], out: Path) -> dict[str, Cost]:
    from bus_monai.inference.costs import measure_cost
    from bus_monai.io.atomic import check_writable

    check_writable(out)
    return {model.name: measure_cost(model) for model in models}


def report(
    folder: Annotated[
        Path,
        typer.Argument(help="The --out of evaluate, also where it is the output_dir of train; or that of segment."),
    ],
    segmented: Annotated[
        Path | None, typer.Argument(show_default=False, help="The --out of segment, to be shown on the page too.")
    ] = None,
) -> None:
    """Write FOLDER/report.html, as evaluate does, with the curves of training; of what segment wrote, overview.png."""
    from bus_monai.report.contact_sheet import write_contact_sheet

    if (folder / SEGMENTED_FILE).is_file():
        print(write_contact_sheet(folder))
        return
    from bus_monai.report.evaluation_report import write_evaluation_report

    print(write_evaluation_report(folder, segmented=write_contact_sheet(segmented) if segmented else None))


def _names(runs: list[str]) -> dict[str, list[Path]]:
    folders: dict[str, list[Path]] = {}
    for run in runs:
        name, equals, path = run.partition("=")
        # folders of a sweep are called as LR=0.001
        named = bool(equals) and not Path(run).exists()
        folder = Path(path if named else run)
        name = name if named else folder.resolve().name
        if name in folders and not named:
            raise UserError(f"Two runs are called '{name}': name them, as in 'first={folder}'.")
        folders.setdefault(name, []).append(folder)
    return folders
