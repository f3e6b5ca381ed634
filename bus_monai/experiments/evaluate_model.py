"""One evaluation of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle.scripts import create_workflow

from bus_monai.inference.models import TrainedModel
from bus_monai.settings import keep_null

CONFIG = "evaluate.json"


def evaluate_model(model: TrainedModel, folder: Path, settings: Mapping[str, Any]) -> None:
    """Run ``evaluate.json`` of a model's bundle.

    Args:
        model: what to evaluate, under the settings that it was trained with.
        folder: gets the table of cases, its summary and figures.
        settings: further keys of ``evaluate.json``; they go before those of the training.
    """
    workflow = create_workflow(
        config_file=str(model.bundle / "configs" / CONFIG),
        run_id="evaluating",
        **keep_null(model.overrides(CONFIG) | dict(settings) | {"output_dir": str(folder)}),
    )
    workflow.run()
    workflow.finalize()
