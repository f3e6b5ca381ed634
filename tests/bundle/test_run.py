"""Which settings an evaluation runs with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bus_monai.bundle import run as module
from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.run import evaluate_model


@pytest.mark.parametrize(("weights", "checkpoint"), [("a.pt,b.pt", {"ckpt_path": "a.pt,b.pt"}), (None, {})])
def test_those_given_go_before_those_of_the_training(
    weights: str | None, checkpoint: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, asked = Mock(), dict[str, Any]()
    monkeypatch.setattr(module, "create_workflow", lambda **arguments: asked.update(arguments) or workflow)
    bundle = find_bundle("baseline")
    trained = {"network_name": "fcn", "image_size": [64, 64], "max_epochs": 3}
    evaluate_model(TrainedModel("mine", bundle, weights, trained), tmp_path, {"image_size": [32, 32]})
    assert asked == {
        "config_file": str(bundle / "configs" / "evaluate.json"),
        "run_id": "evaluating",
        "network_name": "fcn",
        "max_epochs": 3,
        "image_size": [32, 32],
        "output_dir": str(tmp_path),
        **checkpoint,
    }
    assert [call[0] for call in workflow.method_calls] == ["run", "finalize"]
