"""A small file never takes much memory, whatever it or its codestream declares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inference.segment_files import draw
from tests.security.bombs import BOMBS
from tests.user_errors import check_sentence

ROOT = Path(__file__).parents[2]
MOST = 1.0
"""Gigabytes."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    pytest.importorskip("resource")
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("bombs")
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for name, (make, suffix, _) in BOMBS.items():
        make(folder / "in" / (file_name(name) + suffix))
    draw(folder / "in" / "whole.png", (2, 2, 8, 8))
    words = [sys.executable, "-m", "tests.security.peak_memory", str(folder / "in"), str(folder / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["file"].partition(".")[0]: line for line in lines}


def file_name(name: str) -> str:
    return re.sub(r"\W+", "_", name)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_row_in_little_memory(told: dict[str, dict[str, object]], name: str) -> None:
    line = told[file_name(name)]
    assert line["state"] == "failed", line
    check_sentence(str(line["reason"]), *BOMBS[name][2])
    assert float(str(line["gigabytes"])) < MOST, line
    assert float(str(line["seconds"])) < 30, line


def test_a_whole_file_is_segmented_under_the_same_limit(told: dict[str, dict[str, object]]) -> None:
    assert told["whole"]["state"] == "done"
