"""Cross-validation and search, stopped and started again."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from PIL import Image

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.settings import keep_to_first_start, parse_setting
from bus_monai.cli import main as cli
from bus_monai.data.phantoms.ultrasound import write_phantoms
from bus_monai.errors import UserError
from bus_monai.experiments import cross_validation, search
from bus_monai.metrics.aggregate import write_scores
from bus_monai.metrics.case_table import CaseRow, read_case_table
from bus_monai.metrics.segmentation import score_case
from tests.user_errors import check_said, raises_user_error

TINY = ["network_name=erfnet", "image_size=[32,32]", "max_epochs=1", "batch_size=16", "amp=false"]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw folder, images beside their masks, so that the protocol makes the split."""
    made = write_phantoms(tmp_path_factory.mktemp("made") / "set", count=20, size=(64, 64), seed=5)
    folder = tmp_path_factory.mktemp("raw")
    content = json.loads((made / "datalist.json").read_text())
    for section in ("training", "validation", "test"):
        for item in content[section]:
            image = made / item["image"]
            (folder / image.name).write_bytes(image.read_bytes())
            mask = np.zeros((64, 64), dtype=np.uint8)
            for name in item["masks"]:
                mask |= np.asarray(Image.open(made / name))
            Image.fromarray(mask).save(folder / f"{image.stem}_mask.png")
    return folder


@pytest.fixture
def bus_monai(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: str) -> int:
        settings = [word for setting in TINY for word in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["bus-monai", "sweep", "baseline", *settings, *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        # what comes after in the same process keeps a store of its own
        assert "MLFLOW_TRACKING_URI" not in os.environ
        return stop.value.code or 0  # type: ignore[return-value]

    return run


@pytest.mark.slow  # tests/bundles/test_mass_shape.py pools folds, and a grid goes on after each stop
def test_folds_are_tested_once_each_and_go_on_where_they_stopped(
    phantoms: Path, tmp_path: Path, bus_monai: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cross_validation.evaluate_model
    calls: list[str] = []

    def stopped(model: TrainedModel, folder: Path, settings: dict) -> None:
        calls.append(folder.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        whole(model, folder, settings)

    monkeypatch.setattr(cross_validation, "evaluate_model", stopped)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    command = ["--folds", "--data", str(phantoms), "--out", str(tmp_path)]
    assert bus_monai(*command) != 0
    assert not (tmp_path / "cases.csv").exists()
    trained = (tmp_path / "fold2" / "model.pt").read_bytes()
    assert bus_monai(*command) == 0
    assert calls == ["fold0", "fold1", "fold2", "fold2", "fold3", "fold4"]
    # the training of the third was finished, and so it is not run again
    assert (tmp_path / "fold2" / "model.pt").read_bytes() == trained

    rows = read_case_table(tmp_path / "cases.csv")
    assert len(rows) == len({row.id for row in rows}) == 20
    assert "Every number below is computed" in (tmp_path / "report.html").read_text()

    assert not list((tmp_path / "cwd").iterdir())
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("baseline")
    assert experiment is not None
    parent = client.get_run((tmp_path / "mlflow_run").read_text().strip())
    assert parent.data.metrics["test_dice_at_source"] == pytest.approx(
        json.loads((tmp_path / "summary.json").read_text())["lesion"]["metrics"]["dice"]["mean"]
    )
    names = [
        run.info.run_name
        for run in client.search_runs([experiment.experiment_id])
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert sorted(name for name in names if "test" not in name) == [f"fold {k}" for k in range(5)]


def test_a_grid_is_searched_whole_and_goes_on_after_each_stop(
    phantoms: Path, tmp_path: Path, bus_monai: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search.train_run
    calls: list[tuple] = []

    def stopped(bundle, folder, overrides, *, on_epoch):  # type: ignore[no-untyped-def]
        calls.append((overrides["lr"], overrides["speckle"]))
        if len(calls) in (2, 4):
            raise KeyboardInterrupt
        return whole(bundle, folder, overrides, on_epoch=on_epoch)

    monkeypatch.setattr(search, "train_run", stopped)
    command = ["--vary", "lr=0.001,0.01", "--vary", "speckle=none,lee", "--data", str(phantoms), "--out", str(tmp_path)]
    assert [bus_monai(*command) == 0 for _ in range(3)] == [False, False, True]
    # those that were stopped come last
    assert calls[4:] == [calls[1], calls[3]]
    assert set(calls) == {(lr, speckle) for lr in (0.001, 0.01) for speckle in ("none", "lee")}
    assert len(calls) == 6
    with (tmp_path / "trials.csv").open(newline="") as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert states.count("COMPLETE") == 4
    study = optuna.load_study(study_name="baseline", storage=f"sqlite:///{tmp_path / 'study.db'}")
    folders = {trial.user_attrs["folder"] for trial in study.trials if trial.state.name == "COMPLETE"}
    assert all((tmp_path / folder / "model.pt").is_file() for folder in folders)
    # a comma would join the weights of an ensemble
    assert not any("," in folder for folder in folders)

    capture = ["--vary", "lr=0.5,0.6", "--data", str(phantoms), "--out", str(tmp_path)]
    assert bus_monai(*capture) == 2


@pytest.mark.parametrize(
    ("options", "name"),
    [(["--folds"], "cases.csv"), (["--folds"], "summary.json"), (["--vary", "lr=0.1,0.2"], "trials.csv")],
)
def test_a_file_of_somebody_else_is_named_before_training(
    options: list[str], name: str, tmp_path: Path, bus_monai: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text("number,mine\n")
    assert bus_monai(*options, "--data", str(tmp_path), "--out", str(tmp_path)) == 2
    check_said(capsys.readouterr().err, path=path, key="--out")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "number,mine\n"


@pytest.mark.parametrize("kind", [["--folds"], ["--vary", "lr=0.1,0.2"]])
def test_a_folder_keeps_to_the_bundle_data_and_settings_of_its_first_training(
    kind: list[str],
    phantoms: Path,
    tmp_path: Path,
    bus_monai: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[Path] = []

    def scripted(bundle, folder, overrides, *, on_epoch=None):  # type: ignore[no-untyped-def]
        if overrides["dataset_dir"] == str(tmp_path / "wrong"):
            raise UserError("There is no such data set.")
        folder.mkdir(exist_ok=True)
        (folder / "model.pt").touch()
        trained.append(folder)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return 0.5

    def scored(model: TrainedModel, folder: Path, settings: dict) -> None:
        row = CaseRow.of(score_case(np.ones((2, 2)), np.ones((2, 2))), id=folder.name, group="g", diagnosis="benign")
        write_scores(folder, [row])

    for module in (cross_validation, search):
        monkeypatch.setattr(module, "train_run", scripted)
    monkeypatch.setattr(cross_validation, "evaluate_model", scored)
    out = tmp_path / "out"
    command = [*kind, "--out", str(out), "--data"]
    # nothing is trained, and so the data may still be corrected
    assert bus_monai(*command, str(tmp_path / "wrong")) == 2
    assert bus_monai(*command, str(phantoms)) == 130
    for other in ([str(tmp_path)], [str(phantoms), "--set", "seed=7"]):
        assert bus_monai(*command, *other) == 2
        check_said(capsys.readouterr().err, key="--out")
    with raises_user_error("bundle", key="--out"):
        keep_to_first_start(out, "lite_unet", {"dataset_dir": str(phantoms)})
    assert len(trained) == 2
    monkeypatch.chdir(phantoms)
    assert bus_monai(*command, ".") == 0
    assert bus_monai(*command, str(phantoms)) == 0
    assert len(trained) == (6 if kind == ["--folds"] else 3)


def test_a_trial_that_falls_behind_is_pruned(
    phantoms: Path,
    tmp_path: Path,
    bus_monai: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    epochs: list[int] = []

    def scripted(bundle, folder, overrides, *, on_epoch):  # type: ignore[no-untyped-def]
        good = len(epochs) < search.WARM_UP_EPOCHS
        for epoch in range(1, 11):
            if not on_epoch(epoch, 0.8 if good else 0.1):
                break
        epochs.append(epoch)
        return 0.8 if good else 0.1

    monkeypatch.setattr(search, "train_run", scripted)
    command = ["--vary", "lr=1e-5..1e-2:log", "--trials", "5", "--data", str(phantoms), "--out", str(tmp_path)]
    assert bus_monai(*command) == 0
    assert epochs[: search.WARM_UP_EPOCHS] == [10] * search.WARM_UP_EPOCHS
    assert epochs[-1] == search.WARM_UP_EPOCHS
    told = [line.split(": ")[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("trial ")]
    assert told == ["0.8000"] * search.WARM_UP_EPOCHS + ["pruned"]
    assert bus_monai(*command) == 0
    assert len(epochs) == 5
    # a table of a paper has all of its rows
    values = ",".join(str(10**-power) for power in range(1, search.WARM_UP_EPOCHS + 2))
    epochs.clear()
    assert bus_monai("--vary", f"lr={values}", "--data", str(phantoms), "--out", str(tmp_path / "grid")) == 0
    assert epochs == [10] * (search.WARM_UP_EPOCHS + 1)


def test_a_search_that_goes_on_proposes_others(
    phantoms: Path, tmp_path: Path, bus_monai: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, int]] = []

    def scripted(bundle, folder, overrides, *, on_epoch):  # type: ignore[no-untyped-def]
        seen.append((overrides["lr"], overrides["figure_interval"]))
        return 0.5

    monkeypatch.setattr(search, "train_run", scripted)
    command = ["--vary", "lr=1e-5..1e-2:log", "--vary", "figure_interval=2..16", "--data", str(phantoms)]
    for trials in ("3", "6"):
        assert bus_monai(*command, "--trials", trials, "--out", str(tmp_path)) == 0
    assert len({lr for lr, _ in seen}) == len(seen) == 6
    assert all(type(size) is int and 2 <= size <= 16 for _, size in seen)


def test_what_to_do_is_said(bus_monai: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bus_monai("--out", str(tmp_path)) == 2
    check_said(capsys.readouterr().err, "--folds", "--vary", "--preset")
    assert bus_monai("--folds", "--trials", "3", "--out", str(tmp_path)) == 2
    check_said(capsys.readouterr().err, key="--trials")
    assert bus_monai("--vary", "lr=1e-4..1e-2", "--out", str(tmp_path)) == 2
    check_said(capsys.readouterr().err, "--trials")


@pytest.mark.parametrize(
    ("options", "option", "remedy"),
    [
        (["--vary", "lr=0.1", "--set", "lr=9"], "--set", "--vary"),
        (["--folds", "--set", "protocol=kfold5:1"], "--set", "--folds"),
        (["--folds", "--set", "ckpt_dir=x"], "--set", "--out"),
        (["--vary", "lr=0.1", "--set", "output_dir=x"], "--set", "--out"),
        (["--vary", "lr=0.1", "--set", "resume=true"], "--set", "leave it out"),
        (["--vary", "lr=0.1", "--set", "dataset_dir=x"], "--set", "--data"),
        (["--vary", "ckpt_dir=x,y"], "--vary", "--out"),
    ],
)
def test_a_setting_that_a_sweep_sets_itself_is_refused(
    options: list[str],
    option: str,
    remedy: str,
    bus_monai: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert bus_monai(*options, "--data", str(tmp_path), "--out", str(out)) == 2
    check_said(capsys.readouterr().err, option, remedy)
    assert not out.exists()


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each training of a search was told, none of which leaves weights; one whose lr is 9 fails."""
    calls: list[dict[str, Any]] = []

    def scripted(bundle, folder, overrides, *, on_epoch):  # type: ignore[no-untyped-def]
        calls.append(overrides)
        if overrides["lr"] == 9:
            raise UserError("The rate is too high.")
        return 0.5

    monkeypatch.setattr(search, "train_run", scripted)
    return calls


def test_a_grid_is_completed_after_a_search_that_drew_some_of_it_twice(
    searched: list[dict[str, Any]], tmp_path: Path, bus_monai: Callable[..., int]
) -> None:
    command = ["--vary", "lr=1,2,3,4", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert bus_monai(*command, "--trials", "4") == 0
    assert len({told["lr"] for told in searched}) < 4
    drawn = len(searched)
    missing = {1, 2, 3, 4} - {told["lr"] for told in searched}
    assert bus_monai(*command) == 0
    assert sorted(told["lr"] for told in searched[drawn:]) == sorted(missing)
    assert bus_monai(*command) == 0
    assert len(searched) == drawn + len(missing)


def test_the_table_of_trials_holds_the_values_that_were_chosen(
    searched: list[dict[str, Any]], tmp_path: Path, bus_monai: Callable[..., int]
) -> None:
    command = ["--vary", "skip_broken=true,false", "--vary", "lr=0.25,0.5", "--data", str(tmp_path)]
    assert bus_monai(*command, "--out", str(tmp_path / "out")) == 0
    with (tmp_path / "out" / "trials.csv").open(newline="") as file:
        rows = [(row["params_skip_broken"], row["params_lr"]) for row in csv.DictReader(file)]
    assert rows == [(str(told["skip_broken"]), str(told["lr"])) for told in searched]


def test_a_space_may_be_corrected_until_a_trial_has_finished(
    searched: list[dict[str, Any]], tmp_path: Path, bus_monai: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert bus_monai("--vary", "lr=9,8", *command) == 2
    assert bus_monai("--vary", "lr=0.1,0.2,0.3", *command) == 0
    assert [told["lr"] for told in searched] == [9, 0.1, 0.2, 0.3]
    assert bus_monai("--vary", "lr=0.4", *command) == 2
    check_said(capsys.readouterr().err, "--vary", path=tmp_path / "out")


def test_scores_keep_their_settings_where_weights_were_deleted(
    searched: list[dict[str, Any]], tmp_path: Path, bus_monai: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--vary", "lr=0.1", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert bus_monai(*command) == 0
    assert bus_monai(*command, "--set", "weight_decay=0.5") == 2
    check_said(capsys.readouterr().err, "weight_decay", key="--out")
    folds = tmp_path / "folds"
    folds.mkdir()
    keep_to_first_start(folds, "baseline", {"dataset_dir": str(tmp_path)} | dict(map(parse_setting, TINY)))
    (folds / "fold0").mkdir()
    (folds / "fold0" / "cases.csv").touch()
    assert bus_monai("--folds", "--data", str(tmp_path), "--out", str(folds), "--set", "weight_decay=0.5") == 2
    check_said(capsys.readouterr().err, "weight_decay", key="--out")
