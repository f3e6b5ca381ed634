"""The table of a job: its columns, and that it replaces its own kind alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus_monai.geometry.lesion import Lesion
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.results import LESION_COLUMNS
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import OUTPUT_SUFFIXES
from tests.inference.segment_files import PNG, draw
from tests.user_errors import raises_user_error

SETTINGS = SegmentSettings(PNG)


def test_columns_hold_every_measure() -> None:
    box = {"top", "left", "height", "width"}
    assert {name for name in Lesion.__dataclass_fields__ if name not in ("number", "box")} | box <= set(LESION_COLUMNS)
    told = (Path(__file__).parents[2] / "docs" / "segment.md").read_text(encoding="utf-8")
    assert [name for name in (*LESION_COLUMNS, *OUTPUT_SUFFIXES) if f"`{name}`" not in told] == []


def test_a_table_that_took_the_place_of_ours_is_not_replaced(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", (4, 4, 12, 20))
    out = tmp_path / "out"
    for name in ("results.csv", "run.json"):
        segment_inputs([tmp_path / "in"], out, bright, SETTINGS)
        (out / name).write_text("my notes\n")
        with raises_user_error(path=out / name, key="--out"):
            segment_inputs([tmp_path / "in"], out, bright, SETTINGS)
        assert (out / name).read_text() == "my notes\n"
        (out / name).unlink()
