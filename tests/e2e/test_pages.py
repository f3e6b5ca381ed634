"""The first commands of the page for hospitals, word by word; ``test_every_command.py`` runs all of all pages."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_first_commands_of_the_hospital(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "hospital.md").read_text().replace("\\\n", " ")
    block = re.search(r"^(?: {4}.+\n)+", text, re.MULTILINE)
    assert block is not None
    programs = {"python": [sys.executable], "bus-monai": [sys.executable, "-m", "bus_monai"]}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for line in block[0].splitlines():
        program, *words = shlex.split(line)
        command = [*programs[program], *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    left = ["segmented/results.csv", "segmented/breast_benign_sr.dcm", "segmented/breast_benign_overlay.png"]
    assert [name for name in left if not (tmp_path / name).is_file()] == []
    with (tmp_path / "segmented" / "results.csv").open(newline="") as file:
        states = {Path(row["file"]).stem: row["state"] for row in csv.DictReader(file)}
    # two of the six show no breast
    assert {name for name, state in states.items() if state == "not assessed"} == {"US1_UNCR", "examples_ybr_color"}
    assert sorted(states.values()) == 4 * ["done"] + 2 * ["not assessed"]
