"""Five folds, each a training of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_monai.data.protocols.kfold5 import FOLDS
from bus_monai.errors import UserError
from bus_monai.experiments.evaluate_model import evaluate_model
from bus_monai.experiments.parent_run import ParentRun
from bus_monai.experiments.pool_folds import pool_cases, pool_shapes
from bus_monai.experiments.train_run import train_run
from bus_monai.inference.models import TrainedModel
from bus_monai.metrics.write_scores import CASES
from bus_monai.registry import output_format
from bus_monai.report.files import SHAPE_ROWS
from bus_monai.settings import read_settings
from bus_monai.weights import check_writable
from bus_monai.weights_file import TRAINED

POOLS = {"segmentation": (CASES, pool_cases), "classes": (SHAPE_ROWS, pool_shapes)}
"""The table of a fold, and what reports on all of them, by what a bundle gives."""


def cross_validate(bundle: Path, out: Path, overrides: Mapping[str, Any]) -> Path:
    """Train and test each fold of protocol ``kfold5``, and report on all test cases together.

    Started again, it goes on where it was stopped: folds that were tested are not run again, and a training goes on
    from its last epoch.

    Args:
        bundle: folder of the bundle.
        out: gets a folder a fold, the table of all, ``summary.json`` and the report or figures.
        overrides: keys of ``train.json``, ``dataset_dir`` among them.

    Returns:
        The path of the report, or of the summary where the bundle has no page.

    Raises:
        UserError: the bundle gives neither masks nor classes, or what a training raises.
    """
    kind = output_format(bundle)
    if kind not in POOLS:
        raise UserError(
            f"The results of the bundle '{bundle.name}' are not pooled over folds: give --vary or --preset instead."
        )
    table, pool = POOLS[kind]
    check_writable(out)
    folders = [out / f"fold{fold}" for fold in range(FOLDS)]
    with ParentRun(out, experiment=bundle.name, name=f"{bundle.name}, {FOLDS} folds") as parent:
        for fold, folder in enumerate(folders):
            common = {"parent_run": parent.id, "run_name": f"fold {fold}"}
            if not (folder / table).is_file():
                settings = dict(overrides) | {"protocol": f"kfold5:{fold}"}
                train_run(bundle, folder, settings | common)
                weights = folder / TRAINED
                model = TrainedModel(folder.name, bundle, str(weights), read_settings(weights) | settings)
                evaluate_model(model, folder, common | {"run_name": f"fold {fold}, test"})
    metrics, files = pool(out, folders)
    parent.complete({f"test_{key}": value for key, value in metrics.items()}, *files)
    return files[-1]
