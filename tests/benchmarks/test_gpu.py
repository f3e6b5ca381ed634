"""The benchmark of GPUs, its parts on a processor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bus_monai.bundle.registry import find_bundle
from tests.bundles.small_generators import small_generators
from tests.user_errors import check_sentence

FOLDER = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _benchmarks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        # what is measured on a GPU is measured here too, fast or not
        patch.setattr("bus_monai.trainers.base.gains_by_half_precision", lambda device: True)
        yield


@pytest.fixture
def gpu() -> Any:
    return import_module("gpu")


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda: nn.Conv2d(8, 16, 3, padding=1), 2 * 16 * 12 * 12),
        (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8), 2 * 8 * 12 * 12 / 8),
        (lambda: nn.ConvTranspose2d(8, 16, 3), 2 * 16 * 12 * 12),
    ],
)
def test_both_gradients_take_as_much_as_the_convolution(
    make: Callable[[], nn.Module], outputs: float, gpu: Any
) -> None:
    layer, image = make(), torch.rand(2, 8, 12, 12, requires_grad=True)
    # 8 channels of 3 x 3 are multiplied and added for each
    once = outputs * 8 * 9 * 2
    assert gpu.flops(lambda: layer(image)) == once
    assert gpu.flops(lambda: layer(image).sum().backward()) == 3 * once


@pytest.mark.parametrize(("bundle", "images", "networks"), [("lite_unet", 2, 1), ("rdau_gan", 2, 2), ("assgan", 4, 3)])
def test_a_step_teaches_every_network_of_the_bundle(
    bundle: str, images: int, networks: int, small_phantoms: Path, tmp_path: Path
) -> None:
    settings = {"dataset_dir": str(small_phantoms), "batch_size": 2, "image_size": [64, 64], "base_width": 4}
    with small_generators():
        work = import_module("gpu_steps").training_step(
            find_bundle(bundle), tmp_path, CPU, settings | {"generator": "erfnet"}
        )
    assert (work.images, len(work.networks), work.pixels) == (images, networks, (64, 64))
    assert work.precision == "bfloat16"
    before = [[p.detach().clone() for p in network.parameters()] for network in work.networks]
    work.run()
    for network, old in zip(work.networks, before, strict=True):
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), old, strict=True))


def test_a_table_is_printed(
    small_phantoms: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gpu: Any
) -> None:
    words = ["--device", "cpu", "--bundles", "lite_unet", "--data", str(small_phantoms), "--batch", "2", "--size", "64"]
    words += ["--inference-batch", "3", "--calls", "1", "--rounds", "1", "--side", "64", "--no-compile"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    monkeypatch.setattr(gpu, "peak", lambda *given: 1e12)
    gpu.main()
    first, _, head, rule, *rows = capsys.readouterr().out.splitlines()
    assert first.endswith("peak 1.00 TFLOP/s in bfloat16.")
    assert head.count("|") == rule.count("|") == rows[0].count("|")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:5] for row in cells] == [
        ["lite_unet", "training step", "64 x 64", "2", "bfloat16"],
        ["lite_unet", "inference", "64 x 64", "3", "bfloat16"],
    ]
    for row in cells:
        assert row[7] == "-"
        assert float(row[8].removesuffix(" %")) == pytest.approx(float(row[5]) * float(row[6]) / 10, rel=0.1, abs=0.06)
    # forwards and backwards are three times forwards, and the first layer needs no gradient of the image
    assert float(cells[0][5]) == pytest.approx(3 * float(cells[1][5]), rel=0.1)


def test_a_network_that_cannot_be_compiled_is_measured_all_the_same(gpu: Any) -> None:
    class Uncompilable(nn.Module):
        def compile(self, *given: Any, **named: Any) -> None:
            self.broken = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if hasattr(self, "broken"):
                raise RuntimeError("there is no compiler\nat all")
            return x @ x

    network = Uncompilable()
    work = import_module("gpu_steps").Work(lambda: network(torch.ones(4, 4)), 2, [network], (4, 4), "float32")
    words = argparse.Namespace(calls=1, rounds=1, compile=True)
    rates = gpu.measure(work, CPU, words)
    assert (rates.flops, rates.compiled, rates.reason) == (2 * 4**3 / 2, None, "there is no compiler")
    assert gpu.row("b", "inference", work, gpu.Rates(1e9, 2.0, None), 8e9).endswith("| 2.0 | - | 25.0 % |")
    assert gpu.row("b", "inference", work, gpu.Rates(1e9, 2.0, 4.0), 8e9).endswith("| 2.0 | 4.0 | 50.0 % |")


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gpu: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 2
    check_sentence(capsys.readouterr().err, "GPU", "--device cpu")
