"""The bundle as a user runs it: training, resuming after a kill, evaluation, inference."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.conftest import BUNDLE, ROOT
from tests.dicom.objects import shorten
from tests.e2e.forked import run_forked
from tests.waiting import PATIENCE_S

CONFIGS = BUNDLE / "configs"
GENERATOR = "erfnet"
"""Of a tenth of the weights, so that an epoch takes a second; test_every_bundle trains the bundle's own."""
SMALL = ["--generator", GENERATOR, "--image_size", "[64,64]", "--batch_size", "8", "--amp", "false", "--n_critic", "2"]
FRAMES = 3


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"OMP_NUM_THREADS": "1"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it in the root of the repository."""
    command = [sys.executable, "-m", "monai.bundle", "run", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
    )  # fmt: skip


def training(data: Path, out: Path, *more: str) -> list[str]:
    config = ["--config_file", "bundles/rdau_gan/configs/train.json"]
    return [
        "training", *config, "--dataset_dir", str(data), "--ckpt_dir", str(out), "--output_dir", str(out), *SMALL,
        "--pretrain_epochs", "1", *more,
    ]  # fmt: skip


KILLED = """
import os, runpy, signal
from bus_monai.trainers.adversarial import AdversarialTrainer

def iteration(self, engine, batch, go_on=AdversarialTrainer._iteration):
    found = go_on(self, engine, batch)
    if self.state.epoch == 2:
        print("killed amid epoch 2", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return found

AdversarialTrainer._iteration = iteration
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
"""Trains as ``monai.bundle run`` does, until it is killed."""


def make_store(folder: Path) -> None:
    """Make MLflow's empty store here, from the tests' template: a process of its own takes seconds for it."""
    mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained")
    done = run(*training(small_phantoms, out, "--max_epochs", "2"))
    assert done.returncode == 0, done.stdout[-4000:]
    return out, done.stdout


def test_training_from_the_root_of_the_repository(trained: tuple[Path, str], small_phantoms: Path) -> None:
    out, output = trained
    assert "is SYNTHETIC: generated phantoms, not patients." in output
    assert "epoch 3/3 (training)" in output
    # a file has no bars, and its last lines say what there is and what is next
    assert "\r" not in output
    assert "it/s" not in output
    *_, done, following = output.strip().splitlines()
    assert done.endswith(f"Weights of the best validation: {out / 'model.pt'}")
    assert following.startswith(f"Next: bus-monai evaluate rdau_gan:{out / 'model.pt'} --data {small_phantoms} ")
    assert output.count("GHSA-873f-pvrv-4x83") <= 1
    rows = history(out)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["d_loss"] == ""
    assert all(row["d_loss"] and row["critic_gap"] and row["val_dice"] for row in rows[1:])
    # stage 0 at its own rate, then the paper's
    assert [float(row["g_learning_rate"]) for row in rows] == pytest.approx([1e-3, 1e-4, 1e-4])
    best = max(float(row["val_dice"]) for row in rows)
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["best_metric"] == best
    assert set(torch.load(out / "model.pt", weights_only=True)) == set(state["trainer"]["g_network"])


def test_the_adversary_meets_a_generator_from_a_file(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    weights = trained[0] / "model.pt"
    workflow = create_workflow(
        config_file=str(CONFIGS / "train.json"), generator=GENERATOR, generator_weights=str(weights), pretrain_epochs=0,
        image_size=[64, 64], dataset_dir=str(small_phantoms), ckpt_dir=str(tmp_path), output_dir=str(tmp_path),
    )  # fmt: skip
    state = workflow.parser.get_parsed_content("train#trainer").generator.network.state_dict()
    for name, value in torch.load(weights, weights_only=True).items():
        assert torch.equal(state[name], value), name


def test_the_run_in_mlflow_is_complete(trained: tuple[Path, str]) -> None:
    out, _ = trained
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "rdau_gan"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["max_epochs"] == "2"
    assert run.data.params["lambda_seg"] == "1.0"
    assert not [key for key in run.data.params if key.startswith("train")]
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile)["training"] == 18
    score = "val_dice_at_64x64"
    names = {"g_loss", "d_loss", "critic_gap", "g_gradient_norm", "d_gradient_norm", "g_learning_rate", score}
    assert names <= set(run.data.metrics)
    assert [m.step for m in client.get_metric_history(run.info.run_id, score)] == [1, 2, 3]
    (model,) = client.search_logged_models([experiment.experiment_id])
    best = max(client.get_metric_history(run.info.run_id, score), key=lambda m: m.value)
    assert [(m.model_id, m.step) for m in run.outputs.model_outputs] == [(model.model_id, best.step)]

    def files(path: str = "") -> set[str]:
        found = set()
        for item in client.list_artifacts(run.info.run_id, path):
            found |= files(item.path) if item.is_dir else {item.path}
        return found

    expected = {
        "config/config.json", "config/train.json", "config/metadata.json", "data/datalist.json", "environment.txt",
        "results/history.csv", "validation/epoch_0003.png", "validation/epoch_0003.svg",
    }  # fmt: skip
    assert expected <= files()


def test_killed_and_resumed_equals_undisturbed(trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path) -> None:
    make_store(tmp_path)
    words = ["run", *training(small_phantoms, tmp_path, "--max_epochs", "2")]
    code, output = run_forked(["python", "-c", KILLED, *words], ROOT, environment(), PATIENCE_S, tmp_path / "log")
    assert code == -signal.SIGKILL, output[-4000:]
    assert "killed amid epoch 2" in output
    assert len(history(tmp_path)) == 1
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["trainer"]["epoch"] == 1

    words = ["python", "-m", "monai.bundle", *words, "--resume", "true"]
    code, output = run_forked(words, ROOT, environment(), PATIENCE_S, tmp_path / "log")
    assert code == 0, output[-4000:]
    whole, resumed = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (trained[0], tmp_path))
    for part in ("g_network", "d_network"):
        for name, value in whole["trainer"][part].items():
            assert torch.equal(value, resumed["trainer"][part][name]), (part, name)
    for part in ("g_optimizer", "d_optimizer"):
        for i, slots in whole["trainer"][part]["state"].items():
            for name, value in slots.items():
                assert torch.equal(value, resumed["trainer"][part]["state"][i][name])
    assert history(trained[0]) == history(tmp_path)
    assert whole["best_metric_epoch"] == resumed["best_metric_epoch"]
    best = [torch.load(folder / "model.pt", weights_only=True) for folder in (trained[0], tmp_path)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [run.info.status for run in runs] == ["FINISHED"], "the resumed run goes on with the killed one's record"


def test_a_misspelled_key_is_the_last_line_under_monais_traceback(tmp_path: Path) -> None:
    config = ["--config_file", "bundles/rdau_gan/configs/train.json"]
    words = ["python", "-m", "monai.bundle", "run", "training", *config, "--max_epoch", "3"]
    code, output = run_forked(words, ROOT, environment(), PATIENCE_S, tmp_path / "log")
    assert code != 0
    assert "Traceback" in output
    assert output.strip().splitlines()[-1] == (
        "bus_monai: The config key 'max_epoch' does nothing (did you mean 'max_epochs'?): correct or remove it."
    )


def test_evaluation_from_inside_the_bundle(trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path) -> None:
    words = [
        "python", "-m", "monai.bundle", "run", "evaluating", "--config_file", "configs/evaluate.json",
        "--bundle_root", ".", "--ckpt_path", str(trained[0] / "model.pt"), "--dataset_dir", str(small_phantoms),
        "--output_dir", str(tmp_path), "--image_size", "[64,64]", "--generator", GENERATOR,
    ]  # fmt: skip
    make_store(tmp_path)
    code, output = run_forked(words, BUNDLE, environment(), PATIENCE_S, tmp_path / "log")
    assert code == 0, output[-4000:]
    assert "lesion: Mean over the cases with a lesion" in output
    summary = json.loads((tmp_path / "summary.json").read_text())
    with (tmp_path / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    tests = json.loads((small_phantoms / "datalist.json").read_text())["test"]
    assert {row["id"] for row in rows} == {item["id"] for item in tests}
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert summary["lesion"]["metrics"]["dice"]["mean"] == pytest.approx(np.mean(dice), abs=1e-12)
    assert Image.open(tmp_path / "examples.png").size[0] > 600


@pytest.mark.parametrize("mode", ["resize", "sliding"])
def test_masks_have_the_size_and_geometry_of_their_source(trained: tuple[Path, str], tmp_path: Path, mode: str) -> None:
    source, masks = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 255, (90, 131), dtype=np.uint8)
    Image.fromarray(values).save(source / "deep" / "a.png")
    Image.fromarray(np.stack([values] * 3, -1)).save(source / "a.jpg")
    affine = np.diag([0.2, 0.3, 1, 1])
    nib.save(nib.Nifti1Image(values.T[:, :, None], affine), source / "b.nii.gz")
    for name in ("US1_UNCR.dcm", "examples_ybr_color.dcm"):
        path = Path(str(get_testdata_file(name, download=False)))
        (source / name).write_bytes(path.read_bytes())
    shorten(source / "examples_ybr_color.dcm", FRAMES)
    workflow = create_workflow(
        config_file=str(CONFIGS / "inference.json"), run_id="inferring", ckpt_path=str(trained[0] / "model.pt"),
        dataset_dir=str(source), output_dir=str(masks), image_size=[64, 64], inferer_mode=mode, generator=GENERATOR,
        overlap=0.25,
    )  # fmt: skip
    workflow.run()
    assert Image.open(masks / "deep" / "a_mask.png").size == (131, 90)
    assert Image.open(masks / "a_mask.png").size == (131, 90)
    mask = nib.load(masks / "b_mask.nii.gz")
    assert mask.shape == (131, 90, 1)
    np.testing.assert_allclose(mask.affine, affine)
    assert set(np.unique(mask.dataobj)) <= {0, 1}
    assert Image.open(masks / "US1_UNCR_mask.png").size == (640, 480)
    cine = dcmread(source / "examples_ybr_color.dcm", stop_before_pixels=True)
    frames = sorted(masks.glob("examples_ybr_color_frame*_mask.png"))
    assert len(frames) == cine.NumberOfFrames == FRAMES
    assert Image.open(frames[0]).size == (cine.Columns, cine.Rows)
    if mode == "resize":
        # PNG and NIfTI hold the same pixels, so their masks agree, rows and columns included
        same = np.asarray(Image.open(masks / "deep" / "a_mask.png")) / 255 == np.asarray(mask.dataobj)[:, :, 0].T
        assert same.all()
