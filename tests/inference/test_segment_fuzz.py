"""Mutated files: whatever they hold, the job goes on and writes nowhere else."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import table

NAMES = (
    "US1_UNCR.dcm",
    "US1_J2KR.dcm",
    "examples_palette.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "rtdose_rle_1frame.dcm",
)
HEADER = 3000
MAX_SECONDS = 100
"""For a file, on a machine that does much else; more is a hang."""


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
    originals: list[bytes],
    change: Callable[[bytes, random.Random], bytes],
    kinds: tuple[str, ...],
    suffix: str = ".dcm",
) -> dict[str, dict[str, str]]:
    """Segment changed files; return the rows by file."""
    source, out = folder / "in", folder / "out"
    source.mkdir(parents=True)
    chance = random.Random(files)
    for number in range(files):
        (source / f"{number:04d}{suffix}").write_bytes(change(chance.choice(originals), chance))
    predictor: Any = BrightPredictor(folder / "weights")
    before = set(folder.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUS_MONAI_MAX_FILE_SECONDS", str(MAX_SECONDS))
        segment_inputs([source], out, predictor, SegmentSettings(kinds, any_body_part=True))
    new = set(folder.rglob("*")) - before
    assert all(path.is_relative_to(out) for path in new)
    rows = {Path(row["file"]).stem: row for row in table(out)}
    assert len(rows) == files
    assert {row["state"] for row in rows.values()} <= {"done", "failed", "skipped", "not assessed"}
    assert [row["reason"] for row in rows.values() if "BUS_MONAI_MAX_FILE_SECONDS" in row["reason"]] == []
    return rows


def mutated_bytes(folder: Path, files: int) -> None:
    originals = [Path(str(get_testdata_file(name, download=False))).read_bytes() for name in NAMES]
    rows = survives(folder, files, originals, mutate, ("png", "overlay"))
    # what has become black is not assessed
    assert {row["state"] for row in rows.values()} >= {"done", "failed", "skipped"}


def mutated_headers(folder: Path, files: int) -> None:
    """Most get as far as SEG and SR, which name the source they are of; none fails in a way that nobody thought of."""
    pytest.importorskip("bus_monai.dicom.segmentation")
    rows = survives(folder, files, [small_ultrasound()], mutate_header, ("seg", "sr"))
    reasons = {name: row["reason"] for name, row in rows.items() if row["state"] in ("done", "failed")}
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


def picture(kind: str, chance: random.Random) -> bytes:
    """A small picture with a bright box, in one of the ways in which such files are written."""
    pixels = np.full((24, 32), 40, np.uint8)
    pixels[4:12, 6:20] = 200
    file = io.BytesIO()
    if kind == "NIfTI":
        stored = pixels.T.astype(chance.choice((np.uint8, np.int16, np.float32, np.float64)))
        content = nibabel.Nifti1Image(stored, np.diag([0.2, 0.3, 1, 1])).to_bytes()
        return gzip.compress(content) if chance.random() < 0.5 else content
    image = Image.fromarray(pixels)
    image = image.convert(chance.choice(("L", "RGB") if kind == "JPEG" else ("L", "RGB", "RGBA", "P", "1", "I;16")))
    options = {
        "PNG": {"compress_level": chance.choice((0, 9))},
        "JPEG": {"progressive": chance.random() < 0.5},
        "TIFF": {"compression": chance.choice((None, "tiff_lzw")), "save_all": True, "append_images": [image]},
    }
    image.save(file, kind, **options[kind])  # type: ignore[arg-type]
    return file.getvalue()


PICTURES = {"PNG": ".png", "JPEG": ".jpg", "NIfTI": ".nii.gz", "TIFF": ".png"}
"""By the suffix under which they are given: of a TIFF one that lets it be opened."""


def mutated_pictures(folder: Path, kind: str, files: int) -> None:
    chance = random.Random(kind)
    originals = [picture(kind, chance) for _ in range(12)]
    rows = survives(folder, files, originals, mutate, ("png",), PICTURES[kind])
    assert ("done" in {row["state"] for row in rows.values()}) == (kind != "TIFF")


def test_mutated_bytes(tmp_path: Path) -> None:
    mutated_bytes(tmp_path, 60)


def test_mutated_headers(tmp_path: Path) -> None:
    mutated_headers(tmp_path, 50)


@pytest.mark.parametrize("kind", PICTURES)
def test_mutated_pictures(tmp_path: Path, kind: str) -> None:
    mutated_pictures(tmp_path, kind, 25)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", [*PICTURES, "bytes", "headers"])
def test_seven_thousand_mutated_files(tmp_path: Path, part: str) -> None:
    if part == "bytes":
        mutated_bytes(tmp_path, 4000)
    elif part == "headers":
        mutated_headers(tmp_path, 1000)
    else:
        mutated_pictures(tmp_path, part, 500)
