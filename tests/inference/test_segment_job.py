"""The batch job: what it writes, what it survives, what it says."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from bright_predictor import BrightPredictor
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.inference import segment_job
from bus_monai.inference.manifest import FILE, Manifest
from bus_monai.inference.outputs import ENDINGS, candidate_names, output_path, parse_kinds
from bus_monai.inference.segment_run import SegmentSettings, segment_inputs
from bus_monai.lesion import Lesion

SCRIPT = Path(__file__).parent / "bright_predictor.py"
PNG = ("overlay", "png")


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


def draw(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = (24, 32)) -> Path:
    """Write a grey image with bright boxes (top, left, bottom, right)."""
    pixels = np.full(size, 40, np.uint8)
    for top, left, bottom, right in boxes:
        pixels[top:bottom, left:right] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ultrasound(path: Path, **changes: Any) -> Path:
    data = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm", download=False)))
    for key, value in changes.items():
        setattr(data, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)
    return path


def table(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    """All files but those that tell the time."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("run.json", FILE)
    }


def test_masks_measures_and_names(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "a" / "b.png", (2, 3, 8, 9), (10, 20, 12, 30))
    draw(source / "a" / "b.jpg")
    draw(source / "a" / "b_frame001.png")
    draw(source / "a" / "B.jpeg")
    draw(source / "a" / "b_mask.png")
    (source / "readme.txt").write_text("nothing")
    nib.save(
        nib.Nifti1Image(np.asarray(Image.open(source / "a" / "b.png")).T, np.diag([0.5, 2, 1, 1])), source / "n.nii"
    )
    totals = segment_inputs([source], out, bright, SegmentSettings((*PNG, "nifti")))
    assert (totals["done"], totals["failed"], totals["lesions"]) == (5, 0, 4)
    names = {name for name in contents(out) if name.endswith("_mask.png")}
    stems = ("a/B", "a/b_jpg", "a/b_png", "a/b_frame001_png", "n")
    assert names == {f"{stem}_mask.png" for stem in stems}
    mask = np.asarray(Image.open(out / "a" / "b_png_mask.png"))
    np.testing.assert_array_equal(mask, np.where(np.asarray(Image.open(source / "a" / "b.png")) > 127, 255, 0))
    overlay = np.asarray(Image.open(out / "a" / "b_png_overlay.png"))
    assert overlay[2, 3].tolist() == [255, 176, 0]
    assert overlay[5, 6].tolist() == [200, 200, 200]  # inside the outline

    rows = {(row["output"], row["lesion"]): row for row in table(out)}
    assert rows["a/b_png", "1"]["area"] == "36.0"
    assert rows["a/b_png", "1"]["unit"] == "px"
    assert [rows["a/b_png", "2"][key] for key in ("top", "left", "height", "width")] == ["10", "20", "2", "10"]
    assert rows["a/b_jpg", ""]["lesions"] == "0"
    assert rows["n", "1"]["unit"] == "mm"
    nifti = nib.load(out / "n_mask.nii.gz")
    assert nifti.header.get_zooms()[:2] == (0.5, 2)
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).T * 255, mask)
    record = json.loads((out / "run.json").read_text())
    assert record["counts"] == {"done": 5, "failed": 0, "skipped": 0, "new": 0, "crowded": 0, "lesions": 4}
    assert record["model"]["weights_sha256"] == bright.weights_hash


def test_specks_and_hundreds_of_components_are_left_out(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    squares = [(top, left, top + 6, left + 6) for top in (10, 30, 50, 70, 90) for left in range(10, 60, 10)]
    draw(source / "crowded.png", *squares, (120, 10, 128, 18), (140, 10, 142, 12), size=(150, 80))
    draw(source / "specks.png", (10, 10, 12, 12), (20, 20, 23, 23), size=(150, 80))
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert (totals["lesions"], totals["crowded"]) == (20, 1)
    rows = {row["lesion"]: row for row in table(out)}
    # a disc of a thirtieth of the height: 19.6 pixels
    assert rows[""]["note"] == "2 too small for a finding left out"
    assert rows["1"]["note"] == "1 too small for a finding left out; 6 beyond the 20 largest of a frame left out"
    assert (rows["1"]["area"], rows["20"]["area"]) == ("64.0", "36.0")
    assert (np.asarray(Image.open(out / "crowded_mask.png")) > 0).sum() == 64 + 19 * 36
    assert not np.asarray(Image.open(out / "specks_mask.png")).any()
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG, min_area=4), restart=True)
    assert totals["lesions"] == 22
    with pytest.raises(UserError, match=r"holds results with another min_area \(4, now None\): give --restart"):
        segment_inputs([source], out, bright, SegmentSettings(PNG))


def test_a_lesion_of_a_cine_is_one_row(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cine = shutil.copy(str(get_testdata_file("examples_ybr_color.dcm", download=False)), tmp_path / "c.dcm")
    frame = iter(range(30))

    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = next(frame), np.zeros(pixels.shape, np.float32)
        if 5 <= number < 9:
            probability[10 : 20 + number, 10 + number : 40] = 0.75
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([Path(cine)], tmp_path / "out", bright, SegmentSettings(PNG))
    (row,) = table(tmp_path / "out")
    assert [row[key] for key in ("lesions", "frame", "first_frame", "last_frame")] == ["1", "8", "5", "8"]
    assert row["probability"] == "0.75"
    masks = sorted(path.name for path in (tmp_path / "out").glob("*_mask.png"))
    assert masks == [f"c_frame{number:03d}_mask.png" for number in range(30)]
    assert (np.asarray(Image.open(tmp_path / "out" / "c_frame006_mask.png")) > 0).sum() == 16 * 24


def test_lesions_of_a_cine_are_followed_through_gaps(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cine = shutil.copy(str(get_testdata_file("examples_ybr_color.dcm", download=False)), tmp_path / "c.dcm")
    frame = iter(range(30))

    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = next(frame), np.zeros(pixels.shape, np.float32)
        if number in (2, 3, 6, 7):  # two frames missing between
            probability[50:80, 50:80] = 1
        if 3 <= number < 20:  # moves, and passes where the first was after it has gone
            probability[100 - 5 * number : 130 - 5 * number, 150 - 7 * number : 190 - 7 * number] = 1
        if number > 25:
            probability[50:80, 50:80] = 1
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([Path(cine)], tmp_path / "out", bright, SegmentSettings(PNG))
    seen = [(row["lesion"], row["first_frame"], row["last_frame"]) for row in table(tmp_path / "out")]
    assert seen == [("1", "2", "7"), ("2", "3", "19"), ("3", "26", "29")]
    assert {row["lesions"] for row in table(tmp_path / "out")} == {"3"}


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
        "truncated.dcm": "cannot be decoded", "empty.dcm": "is empty", "text.dcm": "no DICOM object",
        "bomb.dcm": "3,600,000,000 pixels", "bare.dcm": "cannot be decoded", "hostile.dcm": "cannot be decoded",
        "loop.png": "Too many levels of symbolic links", "up": "Is a directory",
    }  # fmt: skip
    assert reasons.keys() == parts.keys()
    for name, part in parts.items():
        assert part in reasons[name], reasons[name]
    everything = (out / "results.csv").read_text() + (out / "run.json").read_text()
    assert "PLANTED" not in everything
    assert b"PLANTED" not in (out / FILE).read_bytes()


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
    assert (totals["done"], totals["failed"]) == (1, 1)
    (reason,) = [row["reason"] for row in table(out) if row["state"] == "failed"]
    assert reason == (
        f"'{source / 'hostile.dcm'}' has no valid {keyword}, so that no DICOM result can refer to it: mend it, or "
        "write masks as PNG instead."
    )
    assert all(path.is_relative_to(out) for path in set(tmp_path.rglob("*")) - before)
    # of a file that failed nothing is left
    assert {path.name for path in out.iterdir() if path.name.startswith("hostile")} == set()
    totals = segment_inputs([source], out, bright, SegmentSettings(("png",)), restart=True)
    assert (totals["done"], totals["failed"]) == (2, 0)


@contextmanager
def without_rights() -> Iterator[Path]:
    """Give a folder that anybody may enter, and inside the block be nobody where the tests run as root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        if root:
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
        assert rows[str(path)]["reason"] == (
            f"Cannot read '{path}' (Permission denied): check the path and its permissions."
        )


def test_a_read_only_folder_of_results_is_one_sentence() -> None:
    with without_rights() as folder:
        bright: Any = BrightPredictor(folder / "weights")
        source, out = folder / "in", folder / "out"
        draw(source / "a.png", (2, 2, 8, 8))
        out.mkdir(mode=0o555)
        with pytest.raises(UserError, match=rf"^Cannot write '{out}/manifest\.sqlite' \(.*\): wait, free space, mend"):
            segment_inputs([source], out, bright, SegmentSettings(PNG))
        with pytest.raises(UserError, match=rf"^Cannot write to '{out}/below' \(Permission denied\): mend its permis"):
            segment_inputs([source], out / "below", bright, SegmentSettings(PNG))
        assert not list(out.iterdir())
        # what becomes read-only later loses nothing
        out.chmod(0o755)
        segment_inputs([source], out, bright, SegmentSettings(PNG))
        before = contents(out)
        draw(source / "sub" / "b.png")
        (out / "sub").mkdir(mode=0o555)
        with pytest.raises(UserError, match=rf"^Cannot write to '{out}' \(Permission denied\): free space, mend its"):
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


def test_a_second_run_does_only_what_is_left(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "abc":
        draw(source / f"{name}.png", (2, 2, 6, 6))
    (source / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    segment_inputs([source], out, bright, SegmentSettings(PNG))
    before = contents(out)
    calls: list[int] = []
    predict = bright.predict
    monkeypatch.setattr(bright, "predict", lambda pixels: (calls.append(1), predict(pixels))[1])
    segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert not calls
    assert contents(out) == before
    (out / "a_mask.png").unlink()
    draw(source / "b.png", (1, 1, 3, 3))
    draw(source / "d.png")
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert len(calls) == 3
    assert (totals["done"], totals["failed"]) == (4, 0)
    assert contents(out)["a_mask.png"] == before["a_mask.png"]
    with pytest.raises(UserError, match=r"holds results with another threshold \(0\.5, now 0\.7\): give --restart"):
        segment_inputs([source], out, bright, SegmentSettings(PNG, 0.7))
    segment_inputs([source], out, bright, SegmentSettings(("png",)), restart=True)
    assert sorted(contents(out)) == ["a_mask.png", "b_mask.png", "c_mask.png", "d_mask.png", "results.csv"]


def test_inputs_do_not_share_outputs(bright: Any, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        draw(tmp_path / folder / "set" / "x.png")
    segment_inputs([tmp_path / "one" / "set", tmp_path / "two" / "set"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert {row["output"] for row in table(tmp_path / "out")} == {"set/x", "set/x_png"}


NAMES = st.lists(
    st.from_regex(r"\A(?:[abAB]{1,2}/)?[abA](?:_frame0\d\d|_2|_png|_mask)?(?:\.png|\.jpg|\.PNG|\.nii\.gz|)\Z"),
    unique=True,
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(NAMES)
def test_no_two_names_share_an_output(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Path(folder))
        entries = [manifest.enter(name, candidate_names(PurePosixPath(name))) for name in names]
        manifest.close()
    outputs = [
        str(output_path(Path("out"), entry.name, kind, frame=frame, frames=3)).lower()
        for entry in entries
        for kind in ENDINGS
        for frame in (None, 0, 1, 2)
    ]
    assert len(set(outputs)) == len(names) * len(ENDINGS) * 4


def test_a_file_given_twice_is_done_once(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / "in" / "a.png", (2, 2, 8, 8))
    calls: list[int] = []
    predict = bright.predict
    monkeypatch.setattr(bright, "predict", lambda pixels: (calls.append(1), time.sleep(0.05), predict(pixels))[2])
    totals = segment_inputs([path, path, path.parent, path], tmp_path / "out", bright, SegmentSettings(PNG))
    assert (len(calls), totals["done"], len(table(tmp_path / "out"))) == (1, 1, 1)


def test_a_folder_called_as_an_output(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "a.png", (2, 2, 8, 8))
    draw(source / "a_mask.png" / "b.png", (2, 2, 8, 8))
    totals = segment_inputs([source], out, bright, SegmentSettings(("png",)))
    assert (totals["done"], totals["failed"]) == (1, 1)
    (reason,) = [row["reason"] for row in table(out) if row["reason"]]
    assert reason.startswith(f"The outputs of '{source}")
    assert reason.endswith("): rename the file.")


def test_out_inside_the_input_is_not_read(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "x.png")
    for _ in range(2):
        totals = segment_inputs([tmp_path / "in"], tmp_path / "in" / "out", bright, SegmentSettings(PNG))
    assert totals["done"] == 1


def test_a_link_out_of_the_folder_is_not_followed(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a" / "x.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert "leads outside" in table(tmp_path / "out")[0]["reason"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_nothing_to_do_and_nothing_there(bright: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=r"in' holds no DICOM, PNG, JPEG or NIfTI file: give another folder\.$"):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    with pytest.raises(UserError, match=r"gone' does not exist: give files or folders"):
        segment_inputs([tmp_path / "gone"], tmp_path / "out", bright, SegmentSettings(PNG))
    with pytest.raises(UserError, match=r"^--write names 'dcm': use some of seg, sr, overlay, png, nifti, sc\.$"):
        parse_kinds("png,dcm")
    assert parse_kinds("png,seg") == ("seg", "png")


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
        patch.setattr("bus_monai.atomic_file.os.fsync", fsync)
        with pytest.raises(UserError, match=r"\(No space left on device\): free space"):
            segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert not list(out.rglob(".part-*"))
    segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_second_run_at_the_same_time_is_refused(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "in" / "x.png")
    begun, go_on = threading.Event(), threading.Event()
    predict = bright.predict
    monkeypatch.setattr(bright, "predict", lambda pixels: (begun.set(), go_on.wait(30), predict(pixels))[2])
    first = threading.Thread(
        target=segment_inputs, args=([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    )
    first.start()
    begun.wait(30)
    try:
        with pytest.raises(UserError, match=r"manifest\.sqlite' \(another run is writing there\)"):
            segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    finally:
        go_on.set()
        first.join()
    assert table(tmp_path / "out")[0]["state"] == "done"


def test_files_begun_are_bounded(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery does not run ahead, so that memory does not grow with the number of files."""
    for number in range(40):
        draw(tmp_path / "in" / f"{number:02d}.png")
    found, done, most = [0], [0], [0]
    real = segment_job.find_sources

    def find(*arguments: Any, **options: Any) -> Any:
        for path in real(*arguments, **options):
            found[0] += 1
            most[0] = max(most[0], found[0] - done[0])
            yield path

    predict = bright.predict
    monkeypatch.setattr(segment_job, "find_sources", find)
    monkeypatch.setattr(
        bright, "predict", lambda p: (time.sleep(0.002), done.__setitem__(0, done[0] + 1), predict(p))[2]
    )
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert (found[0], done[0]) == (40, 40)
    assert most[0] <= segment_job.AHEAD + 1


def draw_many(source: Path, files: int) -> random.Random:
    chance = random.Random(files)
    for number in range(files):
        box = (chance.randrange(10), chance.randrange(10), chance.randrange(12, 20), chance.randrange(12, 30))
        draw(source / f"{number % 7}" / f"{number:03d}.png", box)
    return chance


def killed_and_started_again(tmp_path: Path, files: int, kills: int) -> list[int]:
    """Kill a run at random moments, let the last one end, and compare with an undisturbed one; return what each did."""
    source = tmp_path / "in"
    chance = draw_many(source, files)
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(source)]
    subprocess.run([*command, str(tmp_path / "whole"), "0"], check=True, capture_output=True, env=environment)
    counts = []
    for _ in range(kills):
        run = subprocess.Popen(
            [*command, str(tmp_path / "out"), "0.01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(chance.random() * files * 0.012 / max(1, kills / 3))
        run.kill()
        run.communicate()
        counts.append(len(list((tmp_path / "out").rglob("*_mask.png"))))
    subprocess.run([*command, str(tmp_path / "out"), "0"], check=True, capture_output=True, env=environment)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(table(tmp_path / "out")) == files
    return counts


def test_killed_at_random_moments(tmp_path: Path) -> None:
    counts = killed_and_started_again(tmp_path, files=30, kills=3)
    assert counts == sorted(counts)


@pytest.mark.slow
def test_killed_twenty_times_over_two_hundred_files(tmp_path: Path) -> None:
    counts = killed_and_started_again(tmp_path, files=200, kills=20)
    assert counts == sorted(counts)
    assert len(set(counts)) > 5


COMMAND = """
import sys
from pathlib import Path
from bright_predictor import BrightPredictor
from bus_monai.cli.main import main
from bus_monai.inference import models, predictor

trained = BrightPredictor(Path(sys.argv.pop(1)), 0.02)
models.parse_models = lambda *specs, **options: [trained.model]
predictor.Predictor = lambda *arguments, **options: trained
main()
"""


def test_interrupted_by_the_user(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw_many(source, 160)
    segment_inputs([source], tmp_path / "whole", bright, SegmentSettings(("overlay", "png", "nifti")))
    path = os.pathsep.join((str(SCRIPT.parent), str(SCRIPT.parents[2])))
    words = ["segment", str(source), "--out", str(out), "--write", "png,overlay,nifti"]
    run = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "weights"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list(out.rglob("*_mask.png")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGINT)
    printed, errors = run.communicate()
    assert run.returncode == 130, errors
    assert printed == "Stopped: what was begun is finished and recorded; run the command again to go on.\n"
    assert "Traceback" not in errors
    known = [row["output"] for row in table(out)]
    assert 0 < len(known) < 160
    assert {f"{name}_mask.png" for name in known} == {str(p.relative_to(out)) for p in out.rglob("*_mask.png")}
    segment_inputs([source], out, bright, SegmentSettings(("overlay", "png", "nifti")))
    assert contents(out) == contents(tmp_path / "whole")


def test_columns_hold_every_measure() -> None:
    from bus_monai.inference.segment_run import COLUMNS

    assert {name for name in Lesion.__dataclass_fields__ if name != "number"} <= set(COLUMNS)
    told = (Path(__file__).parents[2] / "docs" / "segment.md").read_text(encoding="utf-8")
    assert [name for name in (*COLUMNS, *ENDINGS) if f"`{name}`" not in told] == []
