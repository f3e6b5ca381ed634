"""What ``bus-monai evaluate`` refuses before it loads a network."""

from __future__ import annotations

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
