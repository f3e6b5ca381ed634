"""Every bundle's ``multi_gpu_train.json`` in two processes, on Gloo."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from monai.bundle.workflows import ConfigWorkflow

from bus_monai.bundle.registry import list_bundles
from bus_monai.data.datalist import read_datalist
from tests.bundles.test_every_bundle import quick
from tests.conftest import SMALL

BUNDLES = {info.name: info.root / "configs" for info in list_bundles()}
DEFAULT_RUN = "baseline"
"""The bundle that is trained in two processes in every run of the tests; the others are slow."""

OWN: dict[str, dict[str, Any]] = {
    "baseline": {"network_name": "cgan", "network_options": SMALL},
    "assgan": {"labeled_fraction": 0.5, "batch_size": 2, "phase1_epochs": 1},
}
"""Settings of one bundle: a network that is quick, or enough labels for two processes and both phases."""


def launch(configs: Path, **settings: Any) -> str:
    """Train in two processes and return what they printed."""
    files = json.dumps([str(configs / "train.json"), str(configs / "multi_gpu_train.json")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", files]
    for key, value in settings.items():
        command += [f"--{key}", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name", [name if name == DEFAULT_RUN else pytest.param(name, marks=pytest.mark.slow) for name in BUNDLES]
)
def test_two_processes_train_and_resume_with_one_and_back(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    assert len(read_datalist(small_phantoms).validation) % 2, "the processes' shares must be uneven"
    configs = BUNDLES[name]
    settings = quick(configs / "train.json") | {"batch_size": 4, "amp": False}
    settings |= OWN.get(name, {})
    settings |= {"dataset_dir": str(small_phantoms), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path)}
    printed = launch(configs, max_epochs=1, **settings)
    # the first process alone speaks and writes
    assert printed.count("epoch 1/1") == 1
    (row,) = history(tmp_path)
    assert np.isfinite(float(row["g_region_loss"]))

    def single(**more: Any) -> ConfigWorkflow:
        return create_workflow(
            config_file=str(configs / "train.json"), run_id="training", device="cpu", **settings, **more
        )

    # two processes found in their shares what one finds in all validation cases
    evaluator = single().parser.get_parsed_content("validate#evaluator")
    evaluator.network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    evaluator.run()
    found = {key: float(value) for key, value in row.items() if key.startswith("val_")}
    assert found == pytest.approx({f"val_{key}": value for key, value in evaluator.state.metrics.items()}, abs=1e-5)

    single(max_epochs=2, resume=True).run()
    launch(configs, max_epochs=3, resume=True, **settings)
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2", "3"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["trainer"]["epoch"] == 3
