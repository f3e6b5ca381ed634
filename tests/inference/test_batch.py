"""The batch job: what it writes and what its files are called."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from bus_monai.inference import batch
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import Entry, Manifest, Outcome
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.segment_files import PNG, contents, draw, table, write_cine
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S


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
    assert record["counts"] == {"done": 5, "failed": 0, "skipped": 0, "not assessed": 0, "new": 0} | {
        "crowded": 0,
        "lesions": 4,
    }
    assert record["model"]["weights_sha256"] == bright.weights_hash


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
    with raises_user_error("--restart", 0.5, 0.7, path=out, key="threshold"):
        segment_inputs([source], out, bright, SegmentSettings(PNG, 0.7))
    segment_inputs([source], out, bright, SegmentSettings(("png",)), restart=True)
    assert sorted(contents(out)) == ["a_mask.png", "b_mask.png", "c_mask.png", "d_mask.png", "results.csv"]


OBJECTS = ("seg", "sr", *PNG)


def write_lesion(path: Path, frames: int, columns: int = 20, **changes: Any) -> None:
    pixels = np.full((frames, 48, 64), 40, np.uint8)
    pixels[:, 10:30, 12 : 12 + columns] = 200
    data = pydicom.dcmread(write_cine(path, pixels))
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    data.save_as(path)


def test_outputs_of_an_earlier_content_go_with_it(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name, frames in {"normal": 1, "shorter": 4, "liver": 2, "broken": 1, "same": 1}.items():
        write_lesion(source / f"{name}.dcm", frames)
    segment_inputs([source], out, bright, SegmentSettings(OBJECTS))
    before = contents(out)
    (out / "normal_notes.txt").write_text("of a reader")
    (out / "shorter_frame099_mask.png").write_bytes(b"in no manifest")
    write_lesion(source / "normal.dcm", 1, 0)
    write_lesion(source / "shorter.dcm", 2)
    write_lesion(source / "liver.dcm", 2, BodyPartExamined="LIVER")
    (source / "broken.dcm").write_bytes((source / "broken.dcm").read_bytes()[:1000])
    segment_inputs([source], out, bright, SegmentSettings(OBJECTS))
    after = contents(out)
    assert {row["output"]: row["state"] for row in table(out)} == {
        "normal": "done",
        "shorter": "done",
        "liver": "not assessed",
        "broken": "failed",
        "same": "done",
    }
    masks = {"shorter_frame000_mask.png", "shorter_frame001_mask.png"}
    of_shorter = {"shorter_seg.dcm", "shorter_sr.dcm", "shorter_overlay.png", *masks}
    same = {name for name in before if name.startswith("same")}
    assert set(after) == {
        *("normal_sr.dcm", "normal_overlay.png", "normal_mask.png", *of_shorter, *same),
        *("results.csv", "normal_notes.txt", "shorter_frame099_mask.png"),
    }
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


@pytest.mark.parametrize("columns", [0, 10])
@pytest.mark.parametrize("is_put_back", [False, True])
def test_a_run_that_ends_before_it_records_a_new_content(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_put_back: bool, columns: int
) -> None:
    """What is there is neither taken for the outputs of the earlier content, nor lost from sight."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    path, out = tmp_path / "in" / "a.dcm", tmp_path / "out"
    write_lesion(path, 1)
    first = path.read_bytes()
    segment_inputs([path], out, bright, SegmentSettings(OBJECTS))
    write_lesion(path, 1, columns)
    finish = Manifest.finish

    def killed(self: Manifest, entry: Entry, outcome: Outcome) -> None:
        if outcome.state == "done":
            raise MemoryError
        finish(self, entry, outcome)

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", killed)
        with pytest.raises(MemoryError):
            segment_inputs([path], out, bright, SegmentSettings(OBJECTS))
    if is_put_back:
        path.write_bytes(first)
    segment_inputs([path], out, bright, SegmentSettings(OBJECTS))
    segment_inputs([path], tmp_path / "fresh", bright, SegmentSettings(OBJECTS))
    assert contents(out) == contents(tmp_path / "fresh")


def test_inputs_do_not_share_outputs(bright: Any, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        draw(tmp_path / folder / "set" / "x.png")
    segment_inputs([tmp_path / "one" / "set", tmp_path / "two" / "set"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert {row["output"] for row in table(tmp_path / "out")} == {"set/x", "set/x_png"}


def test_a_file_given_twice_is_done_once(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / "in" / "a.png", (2, 2, 8, 8))
    calls: list[int] = []
    find, predict = batch.find_sources, bright.predict
    listed = threading.Event()

    def find_all(source: Path, **options: Any) -> Iterator[Path]:
        yield from find(source, **options)
        if source == path.parent:
            listed.set()

    def predict_when_listed(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(1)
        # it is not done before it is found again, so that it would be begun again
        assert listed.wait(PATIENCE_S)
        return predict(pixels)

    monkeypatch.setattr(batch, "find_sources", find_all)
    monkeypatch.setattr(bright, "predict", predict_when_listed)
    totals = segment_inputs([path, path, path.parent, path], tmp_path / "out", bright, SegmentSettings(PNG))
    assert (len(calls), totals["done"], len(table(tmp_path / "out"))) == (1, 1, 1)


def test_out_inside_the_input_is_not_read(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "x.png")
    for _ in range(2):
        totals = segment_inputs([tmp_path / "in"], tmp_path / "in" / "out", bright, SegmentSettings(PNG))
    assert totals["done"] == 1


def test_nothing_to_do_and_nothing_there(bright: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with raises_user_error(path=tmp_path / "in"):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    with raises_user_error(path=tmp_path / "gone"):
        segment_inputs([tmp_path / "gone"], tmp_path / "out", bright, SegmentSettings(PNG))
