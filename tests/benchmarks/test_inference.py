"""The benchmark of inference runs, and takes for exact what is."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from bus_monai.bundle.registry import find_bundle
from bus_monai.experiments.search import parse_space, read_preset
from bus_monai.networks.cgan_generator import CGANGenerator

PATH = Path(__file__).parents[2] / "benchmarks" / "inference.py"


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(PATH))


def test_a_table_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--networks", "erfnet", "--settings", "channels_last", "--rounds", "1", "--calls", "1"]
    monkeypatch.setattr(sys, "argv", [str(PATH), *words])
    runpy.run_path(str(PATH), run_name="__main__")
    header, rule, row, *note = capsys.readouterr().out.splitlines()
    assert header == "| network | pixels | eager | channels_last | fastest exact | times eager | published |"
    assert rule.count("|") == row.count("|") == header.count("|")
    title, pixels, eager, other, best, ratio, published = (cell.strip() for cell in row.strip("|").split("|"))
    assert (title, pixels, published) == ("ERFNet", "128²", "78.78")
    assert best in ("eager", "channels_last")
    assert float(ratio) == pytest.approx(max(1, float(other) / float(eager)), rel=0.1)
    assert "DCGAN" in "".join(note)


def test_dcgan_is_the_preset_of_the_paper_that_times_it(benchmark: dict[str, Any]) -> None:
    network = benchmark["NETWORKS"]["dcgan"]
    assert (network.size, network.published) == (128, 18.27)
    preset = read_preset(find_bundle("cgan_ac_caw"), "dcgan")
    given = {choice.key: choice.values[0] for choice in parse_space(preset) if not choice.key.startswith("lambda_")}
    assert given == benchmark["DCGAN"]
    assert sum(p.numel() for p in network.make().parameters()) == 30_686_209


def test_the_fastest_exact_setting_wins(benchmark: dict[str, Any]) -> None:
    rate = benchmark["Rate"]
    rates = {"eager": rate(10.0, 0.0), "compile": rate(25.0, 9e-5), "OpenVINO": rate(40.0, 1e-4)}
    row = benchmark["row"](benchmark["NETWORKS"]["fcn"], rates, ["eager", "compile", "ONNX Runtime", "OpenVINO"])
    assert row == "| FCN | 128² | 10.0 | 25.0 | - | ~40.0 | compile | 2.50 | 35.15 |"


def test_back_ends_are_exact_but_half_precision_is_not(
    benchmark: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def half(net: nn.Module, image: Tensor) -> Any:
        return lambda x: torch.autocast("cpu", torch.bfloat16)(net)(x).float()

    def broken(net: nn.Module, image: Tensor) -> Any:
        raise RuntimeError("there is no compiler\nat all")

    names = ["eager", "channels_last", "TorchScript", "ONNX Runtime"]
    settings = {name: benchmark["SETTINGS"][name] for name in names} | {"half": half, "broken": broken}
    torch.manual_seed(0)
    net = benchmark["initialize"](CGANGenerator(depth=5, base_width=8, ac_channels=4))
    with torch.no_grad(), tqdm(total=12) as bar:
        rates = benchmark["compare"](net, benchmark["phantom"](64), settings, 2, 1, bar)
        assert bar.n == 12
    assert list(rates) == [*names, "half"]
    assert rates["eager"].difference == 0
    assert [rate.exact for rate in rates.values()] == [True, True, True, True, False]
    assert "broken does not run: there is no compiler\n" in capsys.readouterr().err
