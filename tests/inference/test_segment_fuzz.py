"""Mutated real DICOM files: whatever they hold, the job goes on and writes nowhere else."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import pytest
from bright_predictor import BrightPredictor
from pydicom.data import get_testdata_file

from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import SegmentFile
from bus_monai.inference.segment_run import SegmentSettings, segment_inputs

NAMES = (
    "US1_UNCR.dcm",
    "US1_J2KR.dcm",
    "examples_palette.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "rtdose_rle_1frame.dcm",
)
HEADER = 3000
MOST_SECONDS = 10
"""A file; more is a hang."""


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes, mostly of the header, or cut, repeat or drop a piece."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 10, 40))):
        end = min(len(changed), HEADER if chance.random() < 0.8 else len(changed))
        if end < 2:
            break
        place = chance.randrange(end)
        kind = chance.random()
        if kind < 0.7:
            changed[place] = chance.choice((0, 1, 0x2F, 0x5C, 0x7F, 0xFF, chance.randrange(256)))
        elif kind < 0.8:
            del changed[place : place + chance.randrange(1, 20)]
        elif kind < 0.9:
            changed[place:place] = changed[place : place + chance.randrange(1, 20)]
        elif kind < 0.95:
            changed[place : place + 12] = b"../../../out"
        else:
            del changed[place + len(changed) // 2 :]
    return bytes(changed)


def survives(folder: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = folder / "in", folder / "out"
    source.mkdir(parents=True)
    chance = random.Random(files)
    originals = [Path(str(get_testdata_file(name, download=False))).read_bytes() for name in NAMES]
    for number in range(files):
        (source / f"{number:04d}.dcm").write_bytes(mutate(chance.choice(originals), chance))
    predictor = BrightPredictor(folder / "weights")
    slowest = [0.0]
    real = SegmentFile.__call__

    def timed(self: SegmentFile, path: Path, name: str) -> Outcome:
        began = time.monotonic()
        outcome = real(self, path, name)
        slowest[0] = max(slowest[0], time.monotonic() - began)
        return outcome

    monkeypatch.setattr(SegmentFile, "__call__", timed)
    before = set(folder.rglob("*"))
    segment_inputs([source], out, predictor, SegmentSettings(("png", "overlay"), modality="US"))  # type: ignore[arg-type]
    assert slowest[0] < MOST_SECONDS
    new = set(folder.rglob("*")) - before
    assert all(path.is_relative_to(out) for path in new)
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        states = {row["file"]: row["state"] for row in csv.DictReader(file)}
    assert {"done", "failed"} == set(states.values())


def test_two_hundred_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survives(tmp_path, 200, monkeypatch)


@pytest.mark.slow
def test_two_thousand_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survives(tmp_path, 2000, monkeypatch)
