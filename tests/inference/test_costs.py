"""The table of costs: against counts of our own, and as the command line makes it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bus_monai.bundle.models import parse_models
from bus_monai.cli import main as cli
from bus_monai.inference.costs import Cost, measure_cost
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


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two folders with a table of cases."""
    truth = np.eye(8, dtype=bool)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = [CaseRow.of(score_case(truth * 1.0, truth), id=i, group=i, diagnosis="benign") for i in "ab"]
        write_scores(tmp_path / name, rows)
    return [str(tmp_path / name) for name in ("one", "two")]


@pytest.fixture
def compare(runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Compare both into the folder ``out``."""

    def compared(*options: str) -> object:
        monkeypatch.setattr(sys, "argv", ["bus-monai", "compare", *runs, "--out", str(tmp_path / "out"), *options])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code

    return compared


def test_costs_beside_dice(
    weights: Path, tmp_path: Path, compare: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert compare("--costs", f"one=baseline:{weights}") == 0
    with (out / "costs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], int(row["parameters"])) == ("one", 3_781_777)
    assert list(row) == ["model", *(field.name for field in fields(Cost))]
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("one") and "3.78" in line)
    assert "1.0000 [1.0000, 1.0000]" in line
    with (out / "tables" / "costs.csv").open(newline="") as file:
        _, cells = csv.reader(file)
    assert cells[:2] == ["one", "3.78"]
    assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in (out / "report.html").read_text()

    assert compare("--costs", f"other=baseline:{weights}") == 2
    check_said(capsys.readouterr().err, "other", "one", "two")

    # of other runs, whose costs they are not
    assert compare() == 0
    assert not [path for path in out.rglob("*") if path.stem == "costs"]
    assert "Costs" not in (out / "report.html").read_text()


@pytest.mark.parametrize("name", ["costs.csv", "tables/costs.csv", "comparison.csv"])
def test_what_is_not_ours_is_refused_before_anything_is_measured(
    name: str,
    weights: Path,
    tmp_path: Path,
    compare: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bus_monai.inference.costs.measure_cost", lambda model: pytest.fail("measured"))
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("machine,euro\n")
    assert compare("--costs", f"one=baseline:{weights}") == 2
    check_said(capsys.readouterr().err, path.name, "--out")
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [path]


def test_the_costs_of_a_single_run(
    weights: Path, tmp_path: Path, runs: list[str], compare: Callable[..., object]
) -> None:
    runs.pop()
    assert compare("--costs", f"one=baseline:{weights}") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"costs.csv", "tables"}
