"""A stage of the mammogram system, ready for use."""

from __future__ import annotations

from typing import Any

from monai.bundle.scripts import create_workflow

from bus_monai.errors import UserError
from bus_monai.inference.models import TrainedModel
from bus_monai.settings import keep_null

CONFIG = "inference.json"


def load_stage(model: TrainedModel) -> Any:
    """Build what the ``inference.json`` of a bundle calls ``stage``, with the model's weights.

    Raises:
        UserError: the bundle is no stage, or the weights are missing, broken or of another network.
    """
    workflow = create_workflow(
        config_file=str(model.bundle / "configs" / CONFIG), run_id="inferring", **keep_null(model.overrides(CONFIG))
    )
    if "stage" not in workflow.parser.get():
        raise UserError(f"The bundle '{model.bundle.name}' is no stage of the mammogram system: its {CONFIG} has none.")
    return workflow.parser.get_parsed_content("stage")
