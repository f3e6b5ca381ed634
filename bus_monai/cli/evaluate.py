"""``bus-monai evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus_monai.bundle.settings import parse_setting, path_text
from bus_monai.cli.options import Data, SkipBroken, Trust, check_not_set, stoppable
from bus_monai.errors import UserError, check_choice

if TYPE_CHECKING:
    from bus_monai.metrics.case_table import CaseRow


@stoppable()
def evaluate(
    models: Annotated[
        list[str], typer.Argument(help="BUNDLE, BUNDLE:WEIGHTS or NAME=BUNDLE:WEIGHTS; A.pt,B.pt is an ensemble.")
    ],
    data: Data = None,
    split: Annotated[str, typer.Option(help="training, validation or test, or several joined by commas.")] = "test",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("evaluation"),
    protocol: Annotated[
        str | None, typer.Option(help="Split of a raw data set; that of the training by default.")
    ] = None,
    skip_broken: SkipBroken = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Evaluate under letterboxes, gamma, scale, JPEG, text and noise too.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the bundle's evaluate.json.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Score trained models case by case: OUT/cases.csv, summary.json, report.html.

    With several models each has a folder of its own below OUT, and OUT/report.html compares them. With several splits
    all this lies below OUT/SPLIT, and OUT/report.html and OUT/curves_NAME.png show ROC, precision and calibration of
    each split. --set used_generator=each gives the mean of ASSGAN's two generators.

    With --robustness the page also shows what each of nine changes of the images costs: robustness.json.
    """
    from bus_monai.bundle.models import parse_models

    splits = [part.strip() for part in split.split(",")]
    for part in splits:
        check_choice("--split", part, ("training", "validation", "test"))
    common = dict(parse_setting(text) for text in settings or ())
    instead = {"split": "give --split", "output_dir": "give --out"}
    instead |= {"dataset_dir": "give --data alone"} if data else {}
    instead |= {"protocol": "give --protocol alone"} if protocol else {}
    check_not_set("--set", common, instead)
    trained = parse_models(models, segmenters=True, trust=trust)
    common |= {"skip_broken": True} if skip_broken else {}
    common |= {"dataset_dir": path_text(data)} if data else {}
    common |= {"protocol": protocol} if protocol else {}

    from bus_monai.experiments.cross_validation import EACH_GENERATOR, evaluate_generators
    from bus_monai.experiments.robustness import check_ultrasound, evaluate_robustness
    from bus_monai.metrics.aggregate import CASES_FILE
    from bus_monai.metrics.case_table import read_case_table
    from bus_monai.metrics.compare import Comparison
    from bus_monai.report.comparison_report import write_comparison_report
    from bus_monai.report.evaluation_report import (
        check_evaluation_folders,
        write_evaluation_report,
        write_split_report,
    )

    if robustness and common.get("used_generator") == EACH_GENERATOR:
        raise UserError(
            "used_generator is 'each', but --robustness disturbs images for one model at a time: give mean, first or "
            "second, or leave --robustness out.",
            key="used_generator",
        )
    for model in trained if robustness else ():
        check_ultrasound(model)
    tables: dict[str, dict[str, list[CaseRow]]] = {model.name: {} for model in trained}
    places = {part: out if len(splits) == 1 else out / part for part in splits}
    folders = {
        (part, name): below if len(trained) == 1 else below / name for part, below in places.items() for name in tables
    }
    check_evaluation_folders(out, places.values(), folders.values(), names=tables)
    for part, below in places.items():
        for model in trained:
            folder = folders[part, model.name]
            evaluate_generators(model, folder, common | {"split": part})
            if robustness:
                evaluate_robustness(model, folder, common | {"split": part})
            print(write_evaluation_report(folder))
            tables[model.name][part] = read_case_table(folder / CASES_FILE)
        if len(trained) > 1:
            print(write_comparison_report(Comparison.of({name: found[part] for name, found in tables.items()}), below))
    if len(splits) > 1:
        print(write_split_report(tables, out))
