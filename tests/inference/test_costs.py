"""The table of costs: against counts of our own, and as the command line makes it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bus_monai.bundle.models import parse_models
from bus_monai.cli import main as cli
from bus_monai.inference.costs import measure_cost
from bus_monai.metrics.aggregate import write_scores
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.segmentation import score_case
from bus_monai.networks.segmenters import make_segmenter
from tests.user_errors import check_said

SIDE = 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lite")
    torch.save(make_segmenter("lite_unet").state_dict(), folder / "model.pt")
    (folder / "settings.json").write_text(json.dumps({"network_name": "lite_unet", "image_size": [SIDE, SIDE]}))
    return folder / "model.pt"


def multiplications(network: nn.Module) -> int:
    """Those of the convolutions, from the shapes that pass."""
    counts: list[int] = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counts.append(module.weight[0].numel() * output[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, SIDE, SIDE))
    return sum(counts)


def test_counts(weights: Path) -> None:
    cost = measure_cost(parse_models([f"baseline:{weights}"])[0])
    assert cost.parameters == 3_781_777
    assert cost.gflops == pytest.approx(2 * multiplications(make_segmenter("lite_unet")) / 1e9, rel=1e-6)
    assert cost.megabytes == weights.stat().st_size / 1e6
    assert cost.images_per_second > 0


def test_costs_beside_dice(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.eye(8, dtype=bool)
    for name, found in (("one", truth), ("two", truth.copy())):
        (tmp_path / name).mkdir()
        rows = [CaseRow.of(score_case(found * 1.0, truth), id=i, group=i, diagnosis="benign") for i in "ab"]
        write_scores(tmp_path / name, rows)
    arguments = ["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments, "--costs", f"one=baseline:{weights}"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    with (tmp_path / "out" / "costs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], int(row["parameters"])) == ("one", 3_781_777)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("one") and " M " in line)
    assert "3.78 M" in line
    assert "1.0000 [1.0000, 1.0000]" in line

    monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments, "--costs", f"other=baseline:{weights}"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    check_said(capsys.readouterr().err, "other", "one", "two")
