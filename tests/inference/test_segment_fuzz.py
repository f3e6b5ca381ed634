"""Mutated real DICOM files: whatever they hold, the job goes on and writes nowhere else."""

from __future__ import annotations

import csv
import io
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from tests.inference.bright_predictor import BrightPredictor

NAMES = (
    "US1_UNCR.dcm",
    "US1_J2KR.dcm",
    "examples_palette.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "rtdose_rle_1frame.dcm",
)
HEADER = 3000
MAX_SECONDS = 10
"""Of the processor for a file; more is a hang."""


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


JUNK = ("", "\\", "../../../out", "a\\b", "A" * 70, "é\x1b$B", "-1", "0", "1e400", "NaN", "19991399", "^^^=^", "\x00")
KEPT = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelData", "PhotometricInterpretation")
"""Without these a file ends at its decoder; :func:`mutate` changes them too."""


def small_ultrasound() -> bytes:
    """A real header around 24 x 32 pixels with a bright box."""
    data = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm", download=False)))
    pixels = np.full((24, 32, 3), 40, np.uint8)
    pixels[4:12, 6:20] = 200
    data.Rows, data.Columns, data.PhotometricInterpretation = 24, 32, "RGB"
    data.PixelData = pixels.tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def mutate_header(data: bytes, chance: random.Random) -> bytes:
    """Drop attributes, or give them values that they may not have, and leave the pixels alone."""
    header = pydicom.dcmread(io.BytesIO(data))
    file = io.BytesIO()
    with pydicom.config.disable_value_validation():
        keywords = [element.keyword for element in header if element.keyword and element.keyword not in KEPT]
        for keyword in chance.sample(keywords, chance.choice((1, 2, 5))):
            if chance.random() < 0.3 or header[keyword].VR not in TEXT:
                del header[keyword]
            else:
                header[keyword].value = chance.choice(JUNK)
        header.save_as(file)
    return file.getvalue()


TEXT = ("AE", "AS", "CS", "DA", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT")


def survives(
    folder: Path,
    files: int,
    monkeypatch: pytest.MonkeyPatch,
    originals: list[bytes],
    change: Callable[[bytes, random.Random], bytes],
    kinds: tuple[str, ...],
) -> dict[str, str]:
    """Segment changed files and return the reasons by file of those that still say they are ultrasound."""
    source, out = folder / "in", folder / "out"
    source.mkdir(parents=True)
    chance = random.Random(files)
    for number in range(files):
        (source / f"{number:04d}.dcm").write_bytes(change(chance.choice(originals), chance))
    predictor = BrightPredictor(folder / "weights")
    slowest = [0.0]
    real = SegmentFile.__call__

    def timed(self: SegmentFile, path: Path, name: str) -> Outcome:
        began = time.thread_time()
        outcome = real(self, path, name)
        slowest[0] = max(slowest[0], time.thread_time() - began)
        return outcome

    monkeypatch.setattr(SegmentFile, "__call__", timed)
    before = set(folder.rglob("*"))
    segment_inputs([source], out, predictor, SegmentSettings(kinds, any_body_part=True))  # type: ignore[arg-type]
    assert slowest[0] < MAX_SECONDS
    new = set(folder.rglob("*")) - before
    assert all(path.is_relative_to(out) for path in new)
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    states = {row["state"] for row in rows.values()}
    # what has become black is not assessed
    assert states - {"not assessed"} == {"done", "failed", "skipped"}
    return {name: row["reason"] for name, row in rows.items() if row["state"] in ("done", "failed")}


def mutated_bytes(folder: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    originals = [Path(str(get_testdata_file(name, download=False))).read_bytes() for name in NAMES]
    survives(folder, files, monkeypatch, originals, mutate, ("png", "overlay"))


def mutated_headers(folder: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most get as far as SEG and SR, which name the source they are of; none fails in a way that nobody thought of."""
    pytest.importorskip("bus_monai.dicom.segmentation")
    reasons = survives(folder, files, monkeypatch, [small_ultrasound()], mutate_header, ("seg", "sr"))
    assert [reason for reason in reasons.values() if " fails with " in reason] == []
    done = [name for name, reason in reasons.items() if not reason]
    assert len(done) > 0.6 * len(reasons)
    for name in done:
        source = pydicom.dcmread(folder / "in" / f"{name}.dcm")
        seg, report = (pydicom.dcmread(folder / "out" / f"{name}_{kind}.dcm") for kind in ("seg", "sr"))
        assert seg.StudyInstanceUID == report.StudyInstanceUID == source.StudyInstanceUID
        assert np.count_nonzero(seg.pixel_array) == 8 * 14
        assert seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == (
            source.SOPInstanceUID
        )


def test_mutated_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutated_bytes(tmp_path, 100, monkeypatch)


def test_mutated_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutated_headers(tmp_path, 100, monkeypatch)


@pytest.mark.slow
def test_two_thousand_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutated_bytes(tmp_path / "bytes", 1000, monkeypatch)
    mutated_headers(tmp_path / "headers", 1000, monkeypatch)
