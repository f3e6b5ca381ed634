"""Rounds are drawn as the strategies say, and the table holds means and ranges."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import pytest

from bus_monai.data.datalist import read_datalist
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def loop() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "learning_loop.py"))


def test_table_of_means_and_ranges(loop: dict[str, Any], tmp_path: Path) -> None:
    values = {("0", "random"): "0.2", ("1", "random"): "0.4", ("0", "diversity"): "0.5"}
    rows = [
        {"seed": seed, "strategy": name, "labels": "20", "with_lesion": "15", "dice": dice}
        for (seed, name), dice in values.items()
    ]
    assert loop["table"](rows).splitlines()[2] == "| 20 | 0.300 (0.200 to 0.400) | 0.500 (0.500 to 0.500) |"
    loop["write_rows"](tmp_path / "rounds.csv", rows)
    assert loop["read_rows"](tmp_path / "rounds.csv") == rows


def test_first_and_random_need_no_model(loop: dict[str, Any], small_phantoms: Path) -> None:
    pool = read_datalist(small_phantoms).training
    first = loop["choose"]("first", pool[::-1], [], None, 3, random.Random(0))
    assert [case.id for case in first] == sorted(case.id for case in pool)[:3]
    drawn = loop["choose"]("random", pool, [], None, 5, random.Random(0))
    assert len({case.id for case in drawn}) == 5
