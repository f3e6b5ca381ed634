"""The batch job: what is wrong with files and folders costs a row or a sentence, and no name is said."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import MANIFEST_FILE
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound
from tests.user_errors import check_sentence, raises_user_error


def test_broken_items_are_rows_with_reasons(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    whole = ultrasound(source / "whole.dcm", PatientName="PLANTED^NAME", PatientID="PLANTED-7")
    (source / "truncated.dcm").write_bytes(whole.read_bytes()[:9000])
    (source / "empty.dcm").write_bytes(b"")
    (source / "text.dcm").write_text("no image at all")
    bomb = pydicom.dcmread(whole)
    bomb.Rows = bomb.Columns = 60_000
    bomb.save_as(source / "bomb.dcm")
    bare = pydicom.dcmread(whole)
    del bare.PixelData
    bare.save_as(source / "bare.dcm")
    hostile = pydicom.dcmread(whole)
    with pydicom.config.disable_value_validation():
        hostile.SOPInstanceUID = hostile.StudyInstanceUID = "../../../hostile"
        hostile.BitsAllocated = 7
        hostile.save_as(source / "hostile.dcm")
    ultrasound(source / "ct.dcm", Modality="CT")
    (source / "loop.png").symlink_to("loop.png")
    (source / "down").mkdir()
    (source / "down" / "up").symlink_to(source)
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert (totals["done"], totals["skipped"]) == (1, 1)
    reasons = {Path(row["file"]).name: row["reason"] for row in table(out) if row["state"] == "failed"}
    parts = {
        "truncated.dcm": "a DICOM image", "empty.dcm": "empty", "text.dcm": "SOPClassUID",
        "bomb.dcm": "60000 x 60000", "bare.dcm": "a DICOM image", "hostile.dcm": "a DICOM image",
        "loop.png": os.strerror(errno.ELOOP), "up": os.strerror(errno.EISDIR),
    }  # fmt: skip
    assert reasons.keys() == parts.keys()
    for name, part in parts.items():
        check_sentence(reasons[name], part, name)
    everything = (out / "results.csv").read_text() + (out / "run.json").read_text()
    assert "PLANTED" not in everything
    assert b"PLANTED" not in (out / MANIFEST_FILE).read_bytes()


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_a_hostile_identifier_in_a_valid_file(bright: Any, tmp_path: Path, keyword: str) -> None:
    pytest.importorskip("bus_monai.dicom.segmentation")
    source, out = tmp_path / "in", tmp_path / "out"
    good = ultrasound(source / "good.dcm")
    hostile = pydicom.dcmread(good)
    with pydicom.config.disable_value_validation():
        hostile[keyword].value = "../../../hostile"
        hostile.save_as(source / "hostile.dcm")
    before = set(tmp_path.rglob("*"))
    totals = segment_inputs([source], out, bright, SegmentSettings(("seg", "sr", *PNG, "sc")))
    assert (totals["done"], totals["failed"]) == (2, 0)
    (note,) = {row["note"] for row in table(out) if row["file"].endswith("hostile.dcm")}
    lacking = [part for part in note.split("; ") if part.startswith("no ")]
    assert [part.partition(":")[0] for part in lacking] == ["no SEG", "no SR", "no SC"]
    for part in lacking:
        check_sentence(part, "PNG", path=source / "hostile.dcm", key=keyword)
    assert all(path.is_relative_to(out) for path in set(tmp_path.rglob("*")) - before)
    # what needs no identifier is there
    kept = {path.name for path in out.iterdir() if path.name.startswith("hostile")}
    assert kept == {"hostile_mask.png", "hostile_overlay.png"}
    totals = segment_inputs([source], tmp_path / "objects", bright, SegmentSettings(("seg", "sr")))
    assert (totals["done"], totals["failed"]) == (1, 1)
    totals = segment_inputs([source], out, bright, SegmentSettings(("png",)), restart=True)
    assert (totals["done"], totals["failed"]) == (2, 0)


@contextmanager
def without_rights() -> Iterator[Path]:
    """Give a folder that anybody may enter, and inside the block be nobody where the tests run as root."""
    root = os.geteuid() == 0
    start = subprocess.Popen

    def start_as_root(*words: Any, **options: Any) -> Any:
        os.seteuid(0)  # nobody may not run root's Python
        try:
            return start(*words, **options)
        finally:
            os.seteuid(65534)

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        Path(name).chmod(0o777)
        if root:
            patch.setattr("bus_monai.sources.readers.subprocess.Popen", start_as_root)
            # none is started while a thread opens a file, which it then would as root
            patch.setattr("bus_monai.sources.readers.MAX_PROCESSES", 1)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


def test_an_unreadable_file_is_a_row(tmp_path: Path) -> None:
    with without_rights() as folder:
        bright: Any = BrightPredictor(folder / "weights")
        draw(folder / "in" / "good.png", (2, 2, 8, 8))
        secret = draw(folder / "in" / "secret.png")
        secret.chmod(0)
        closed = draw(folder / "in" / "closed" / "x.png").parent
        closed.chmod(0)
        totals = segment_inputs([folder / "in"], folder / "out", bright, SegmentSettings(PNG))
        rows = {row["file"]: row for row in table(folder / "out")}
        closed.chmod(0o700)
    assert (totals["done"], totals["failed"]) == (1, 2)
    for path in (secret, closed):
        check_sentence(rows[str(path)]["reason"], os.strerror(errno.EACCES), "permissions", path=path)


def test_a_read_only_folder_of_results_is_one_sentence() -> None:
    with without_rights() as folder:
        bright: Any = BrightPredictor(folder / "weights")
        source, out = folder / "in", folder / "out"
        draw(source / "a.png", (2, 2, 8, 8))
        out.mkdir(mode=0o555)
        for to in (out, out / "below"):
            with raises_user_error(os.strerror(errno.EACCES), "permissions", path=to):
                segment_inputs([source], to, bright, SegmentSettings(PNG))
        assert not list(out.iterdir())
        # what becomes read-only later loses nothing
        out.chmod(0o755)
        segment_inputs([source], out, bright, SegmentSettings(PNG))
        before = contents(out)
        draw(source / "sub" / "b.png")
        (out / "sub").mkdir(mode=0o555)
        with raises_user_error(os.strerror(errno.EACCES), "permissions", path=out, key="--out"):
            segment_inputs([source], out, bright, SegmentSettings(PNG))
        assert contents(out) == before
        (out / "sub").chmod(0o755)
        assert segment_inputs([source], out, bright, SegmentSettings(PNG))["done"] == 2


def test_decoders_say_no_names(bright: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pydicom.config.disable_value_validation():
        ultrasound(tmp_path / "in" / "x.dcm", PatientName="PLANTED" * 12, StudyDate="PLANTED", PatientID="PLANTED" * 12)
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(("seg", "sr", *PNG)))
    assert "PLANTED" not in caplog.text
    pydicom.dcmread(tmp_path / "in" / "x.dcm").StudyDate = "PLANTED-2"
    assert "PLANTED-2" in caplog.text  # so it would have been there


def test_identifiers_that_a_decoder_quotes_are_left_out(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ultrasound(tmp_path / "in" / "x.dcm", PatientName="PLANTED^NAME")

    def fail(pixels: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("cannot read 'PLANTED^NAME' nor PLANTED")

    monkeypatch.setattr(bright, "predict", fail)
    segment_inputs([path], tmp_path / "out", bright, SegmentSettings(PNG))
    assert table(tmp_path / "out")[0]["reason"].endswith("fails with ZeroDivisionError: cannot read '…' nor …")


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(12):
        draw(source / f"{number:02d}.png", (2, 2, 6, 6))
    segment_inputs([source], tmp_path / "undisturbed", bright, SegmentSettings(PNG))
    real, left = os.fsync, [9]

    def fsync(file: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr("bus_monai.io.atomic.os.fsync", fsync)
        with raises_user_error(os.strerror(errno.ENOSPC), "space", key="--out"):
            segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert not list(out.rglob(".part-*"))
    (out / ".part-0123abcd-00_mask.png").write_bytes(b"of a run that was killed")
    segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert contents(out) == contents(tmp_path / "undisturbed")
