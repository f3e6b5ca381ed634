"""Five folds, each a training of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_monai.data.protocols.kfold5 import FOLDS
from bus_monai.experiments.evaluate_model import evaluate_model
from bus_monai.experiments.parent_run import ParentRun
from bus_monai.experiments.train_run import train_run
from bus_monai.inference.models import TrainedModel
from bus_monai.metrics.aggregate import means
from bus_monai.metrics.case_table import read_case_table
from bus_monai.metrics.write_scores import CASES, SUMMARY, write_scores
from bus_monai.report.evaluation_report import write_evaluation_report
from bus_monai.settings import read_settings
from bus_monai.weights import check_writable


def cross_validate(bundle: Path, out: Path, overrides: Mapping[str, Any]) -> Path:
    """Train and test each fold of protocol ``kfold5``, and report on all test cases together.

    Started again, it goes on where it was stopped: folds that were tested are not run again, and a training goes on
    from its last epoch.

    Args:
        bundle: folder of the bundle.
        out: gets a folder a fold, ``cases.csv`` of all, ``summary.json`` and ``report.html``.
        overrides: keys of ``train.json``, ``dataset_dir`` among them.

    Returns:
        The path of the report.
    """
    check_writable(out)
    parent = ParentRun(out, experiment=bundle.name, name=f"{bundle.name}, {FOLDS} folds")
    rows = []
    for fold in range(FOLDS):
        folder = out / f"fold{fold}"
        common = {"parent_run": parent.id, "run_name": f"fold {fold}"}
        if not (folder / CASES).is_file():
            settings = dict(overrides) | {"protocol": f"kfold5:{fold}"}
            train_run(bundle, folder, settings | common)
            weights = folder / "model.pt"
            model = TrainedModel(folder.name, bundle, str(weights), read_settings(weights) | settings)
            evaluate_model(model, folder, common | {"run_name": f"fold {fold}, test"})
        rows += read_case_table(folder / CASES)
    write_scores(out, rows)
    page = write_evaluation_report(out)
    parent.complete(
        {f"test_{key}": value for key, value in means(rows, "lesion").items()}, out / CASES, out / SUMMARY, page
    )
    return page
