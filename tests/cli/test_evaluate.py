"""What ``bus-monai evaluate`` refuses before it loads a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bus_monai.cli.evaluate import evaluate
from tests.user_errors import raises_user_error


@pytest.mark.parametrize("split", ["tests", "training,tests"])
def test_a_split_that_there_is_not_is_refused(split: str, tmp_path: Path) -> None:
    with raises_user_error("'tests'", "'test'", "training", "validation", key="--split"):
        evaluate(["lite_unet"], split=split, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_setting_without_a_value_and_a_model_that_segments_nothing_are_refused(tmp_path: Path) -> None:
    with raises_user_error("'a'", key="--set"):
        evaluate(["lite_unet"], out=tmp_path / "out", settings=["a"])
    with raises_user_error("'mass_shape'", "configs/evaluate.json"):
        evaluate(["mass_shape"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("split=validation", "--split"),
        ("settings#split=validation", "--split"),
        ("output_dir=x", "--out"),
        ("protocol=all_train", "--protocol"),
        ("dataset_dir=x", "--data"),
    ],
)
def test_a_setting_that_an_option_replaces_is_refused(setting: str, remedy: str, tmp_path: Path) -> None:
    with raises_user_error(setting.partition("=")[0], remedy, key="--set"):
        evaluate(["lite_unet"], data=tmp_path, protocol="rdau", out=tmp_path / "out", settings=[setting])
    assert not (tmp_path / "out").exists()


def test_both_generators_are_not_disturbed_at_once(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.touch()
    with raises_user_error("'each'", "mean", "first", "second", "--robustness", key="used_generator"):
        evaluate([f"assgan:{weights}"], out=tmp_path / "out", robustness=True, settings=["used_generator=each"])
    assert not (tmp_path / "out").exists()


def test_folds_are_no_ensemble_for_images_that_they_learned_from(
    small_phantoms: Path, small_weights: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"fold{fold}" / "model.pt" for fold in range(2)]
    known = json.loads((small_weights.parent / "settings.json").read_text())
    for fold, file in enumerate(files):
        file.parent.mkdir()
        shutil.copy(small_weights, file)
        (file.parent / "settings.json").write_text(json.dumps(known | {"protocol": f"kfold5:{fold}", "seed": 0}))
    both = [f"both=baseline:{files[0]},{files[1]}"]
    with raises_user_error("kfold5:0", "kfold5:1", key="protocol", wrapped=True):
        evaluate(both, data=small_phantoms, out=tmp_path / "folds")
    assert not (tmp_path / "folds" / "cases.csv").exists()
    evaluate(both, data=small_phantoms, protocol="all_train", out=tmp_path / "whole")
    assert (tmp_path / "whole" / "cases.csv").is_file()
