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
import threading
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from bright_predictor import BrightPredictor
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.inference import segment_job
from bus_monai.inference.manifest import FILE
from bus_monai.inference.outputs import parse_kinds
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


def killed_and_started_again(tmp_path: Path, files: int, kills: int, sig: int = signal.SIGKILL) -> list[int]:
    """Kill a run at random moments, let the last one end, and compare with an undisturbed one; return what each did."""
    source = tmp_path / "in"
    chance = random.Random(files)
    for number in range(files):
        box = (chance.randrange(10), chance.randrange(10), chance.randrange(12, 20), chance.randrange(12, 30))
        draw(source / f"{number % 7}" / f"{number:03d}.png", box)
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
        run.send_signal(sig)
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


def test_interrupted_by_the_user(tmp_path: Path) -> None:
    killed_and_started_again(tmp_path, files=20, kills=1, sig=signal.SIGINT)


def test_columns_hold_every_measure() -> None:
    from bus_monai.inference.segment_run import COLUMNS

    assert {name for name in Lesion.__dataclass_fields__ if name != "number"} <= set(COLUMNS)
