"""A stage of the mammogram system, ready for use."""

from __future__ import annotations

from typing import Any

from bus_monai.errors import UserError
from bus_monai.inference.backends.bundle_parts import CONFIG, inference_parser
from bus_monai.inference.models import TrainedModel


def load_stage(model: TrainedModel) -> Any:
    """Build what the ``inference.json`` of a bundle calls ``stage``, with the model's weights.

    Raises:
        UserError: the bundle is no stage, or the weights are missing, broken or of another network.
    """
    parser = inference_parser(model)
    if "stage" not in parser.get():
        raise UserError(f"The bundle '{model.bundle.name}' is no stage of the mammogram system: its {CONFIG} has none.")
    return parser.get_parsed_content("stage")
