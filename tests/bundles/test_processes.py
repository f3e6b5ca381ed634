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
from tests.e2e.forked import start_forked
from tests.free_port import free_port

BUNDLES = {info.name: info.root / "configs" for info in list_bundles()}
DEFAULT_RUN = "rdau_gan"
"""The bundle that is trained in two processes in every run of the tests, with an adversary.

The others are slow, and started by ``torchrun`` itself.
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

OWN: dict[str, dict[str, Any]] = {
    "baseline": {"network_name": "cgan", "network_options": SMALL},
    "rdau_gan": {"generator": "erfnet"},
    "assgan": {"labeled_fraction": 0.5, "batch_size": 2, "phase1_epochs": 1},
}
"""Settings of one bundle: a network that is quick, or enough labels for two processes and both phases."""


SHARES = """
import json, os, sys
from monai.bundle.scripts import create_workflow

workflow = create_workflow(config_file=json.loads(sys.argv[1]), run_id="training", **json.loads(sys.argv[2]))
epochs = workflow.parser.get_parsed_content("train#trainer").epochs
seen = [id for batch in next(epochs.passes(1)) for id in batch["id"]]
with open(f"{sys.argv[3]}/rank{os.environ['RANK']}.json", "w") as file:
    json.dump(seen, file)
workflow.run()
workflow.finalize()
"""
"""Trains as ``monai.bundle run`` does, and says which cases its process has in the first epoch."""


def files(configs: Path) -> str:
    return json.dumps([str(configs / "train.json"), str(configs / "multi_gpu_train.json")])


def arguments(configs: Path, settings: dict[str, Any]) -> list[str]:
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", "training", "--config_file", files(configs), *options]


def launch(configs: Path, **settings: Any) -> str:
    """Train in two processes of ``torchrun`` and return what they printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, *arguments(configs, settings)],
        env=os.environ | ENVIRONMENT, text=True, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def fork(words: list[str], folder: Path) -> str:
    """Run Python in two processes, told what ``torchrun`` tells its own, and return what they printed."""
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    logs = [folder / f"rank{rank}.log" for rank in range(2)]
    processes = [
        start_forked(
            ["python", *words],
            folder,
            os.environ | ENVIRONMENT | told | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            log,
        )
        for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.join(900)
        process.kill()
        process.join()
    printed = "".join(log.read_text() for log in logs)
    assert [process.exitcode for process in processes] == [0, 0], printed[-12000:]
    return printed


def shares(configs: Path, folder: Path, **settings: Any) -> list[list[str]]:
    """Train in two processes, and return the cases that each had."""
    fork(["-c", SHARES, files(configs), json.dumps(settings), str(folder)], folder)
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(1800)
@pytest.mark.slow  # tests/trainers/test_two_processes.py holds two processes against one
@pytest.mark.parametrize("name", BUNDLES)
def test_two_processes_train_and_resume_with_one_and_back(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    assert len(read_datalist(small_phantoms).validation) % 2, "the processes' shares must be uneven"
    configs = BUNDLES[name]
    settings = quick(configs / "train.json") | {"batch_size": 4, "amp": False}
    settings |= OWN.get(name, {})
    settings |= {"dataset_dir": str(small_phantoms), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path)}
    first_run = settings | {"max_epochs": 1}
    printed = fork(arguments(configs, first_run), tmp_path) if name == DEFAULT_RUN else launch(configs, **first_run)
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
    first, second = shares(configs, tmp_path, max_epochs=3, resume=True, **settings)
    if name == DEFAULT_RUN:
        ids = {case.id for case in read_datalist(small_phantoms).training}
        assert len(first) == len(second) == len(ids) // 2
        assert set(first) | set(second) == ids
        assert set(first) & set(second) == set()
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2", "3"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["trainer"]["epoch"] == 3
    assert all(not key.startswith("module.") for key in torch.load(tmp_path / "model.pt", weights_only=True))
