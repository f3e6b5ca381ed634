"""The batch job: what it writes and what its files are called."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.items import inference_items
from bus_monai.geometry.lesion import Lesion
from bus_monai.inference import batch
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import Manifest
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.segment_frames import MAX_KEPT_BYTES, PackedLabels
from bus_monai.inference.write_outputs import OUTPUT_SUFFIXES, candidate_names, output_path, parse_kinds
from tests.inference.segment_files import PNG, contents, draw, table
from tests.user_errors import raises_user_error


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


def test_specks_and_hundreds_of_components_are_left_out(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    squares = [(top, left, top + 6, left + 6) for top in (10, 30, 50, 70, 90) for left in range(10, 60, 10)]
    draw(source / "crowded.png", *squares, (120, 10, 128, 18), (140, 10, 142, 12), size=(150, 80))
    draw(source / "specks.png", (10, 10, 12, 12), (20, 20, 23, 23), size=(150, 80))
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG))
    assert (totals["lesions"], totals["crowded"]) == (20, 1)
    rows = {row["lesion"]: row for row in table(out)}
    # a disk of a thirtieth of the height: 19.6 pixels
    assert rows[""]["note"] == "2 too small for a finding left out"
    assert rows["1"]["note"] == "1 too small for a finding left out; 6 beyond the 20 largest of a frame left out"
    assert (rows["1"]["area"], rows["20"]["area"]) == ("64.0", "36.0")
    assert (np.asarray(Image.open(out / "crowded_mask.png")) > 0).sum() == 64 + 19 * 36
    assert not np.asarray(Image.open(out / "specks_mask.png")).any()
    totals = segment_inputs([source], out, bright, SegmentSettings(PNG, min_area=4), restart=True)
    assert totals["lesions"] == 22
    with raises_user_error("--restart", 4, None, path=out, key="min_area"):
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
    # a bundle's own inference calls them the same
    assert masks == [Path(item["output"]).name for item in inference_items(cine, tmp_path)]
    assert (np.asarray(Image.open(tmp_path / "out" / "c_frame006_mask.png")) > 0).sum() == 16 * 24


def test_packed_labels_come_back_in_any_order() -> None:
    chance, labels = np.random.default_rng(0), PackedLabels()
    # noise, which cannot be packed: the last frames lie on the disk
    frames = [chance.integers(0, 1 << 16, (700 + i, 600)).astype(np.uint16) for i in range(12)]
    assert sum(frame.nbytes for frame in frames) > MAX_KEPT_BYTES
    for i, frame in enumerate(frames):
        labels.append(frame)
        np.testing.assert_array_equal(labels[i // 2], frames[i // 2])
    assert len(labels) == 12
    for i in chance.permutation(12):
        np.testing.assert_array_equal(labels[int(i)], frames[i])


def test_what_is_too_large_for_a_lesion_is_said(bright: Any, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    speckle = np.random.default_rng(0).integers(0, 120, (64, 96), dtype=np.uint8)
    speckle[20:40, 30:60] = 255
    Image.fromarray(speckle).save(source / "small.png")
    pixels = np.zeros((64, 96), np.uint8)
    pixels[:40] = 255
    Image.fromarray(pixels).save(source / "large.png")
    segment_inputs([source], tmp_path / "out", bright, SegmentSettings(PNG))
    notes = {Path(row["file"]).stem: row["note"] for row in table(tmp_path / "out")}
    assert notes == {"small": "", "large": "1 larger than half of the image or longer than 100 mm: check them"}


def test_what_one_frame_of_a_cine_alone_shows_is_noise(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cine = shutil.copy(str(get_testdata_file("examples_ybr_color.dcm", download=False)), tmp_path / "c.dcm")
    frame = iter(range(30))

    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = next(frame), np.zeros(pixels.shape, np.float32)
        if number == 3:  # larger than the lesion
            probability[10:110, 10:110] = 1
        if 20 <= number < 24:
            probability[120:150, 150 : 190 + number] = 1
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([Path(cine)], tmp_path / "out", bright, SegmentSettings(PNG))
    (row,) = table(tmp_path / "out")
    assert [row[key] for key in ("lesions", "frame", "first_frame", "last_frame")] == ["1", "23", "20", "23"]
    assert row["note"] == "1 seen in one frame alone left out"
    assert not np.asarray(Image.open(tmp_path / "out" / "c_frame003_mask.png")).any()
    overlay = np.asarray(Image.open(tmp_path / "out" / "c_overlay.png").convert("RGB")).astype(int)
    outlined = np.argwhere(np.abs(overlay - overlay.mean(axis=2, keepdims=True)).max(axis=2) > 60)
    assert outlined[:, 0].min() > 100  # of the words above the lesion


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
        for kind in OUTPUT_SUFFIXES
        for frame in (None, 0, 1, 2)
    ]
    assert len(set(outputs)) == len(names) * len(OUTPUT_SUFFIXES) * 4


def test_a_file_given_twice_is_done_once(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / "in" / "a.png", (2, 2, 8, 8))
    calls: list[int] = []
    find, predict = batch.find_sources, bright.predict
    listed = threading.Event()

    def find_all(source: Path, **options: Any) -> Iterator[Path]:
        yield from find(source, **options)
        if source == path.parent:
            listed.set()

    # the file is not done before it is found again, so that it would be begun again
    monkeypatch.setattr(batch, "find_sources", find_all)
    monkeypatch.setattr(bright, "predict", lambda pixels: (calls.append(1), listed.wait(30), predict(pixels))[2])
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
    with raises_user_error(path=tmp_path / "in"):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    with raises_user_error(path=tmp_path / "gone"):
        segment_inputs([tmp_path / "gone"], tmp_path / "out", bright, SegmentSettings(PNG))
    with raises_user_error("'dcm'", "seg", "sr", "overlay", "png", "nifti", "sc", "gsps", key="--write"):
        parse_kinds("png,dcm")
    assert parse_kinds("png,seg") == ("seg", "png")


def test_columns_hold_every_measure() -> None:
    from bus_monai.inference.results import LESION_COLUMNS

    box = {"top", "left", "height", "width"}
    assert {name for name in Lesion.__dataclass_fields__ if name not in ("number", "box")} | box <= set(LESION_COLUMNS)
    told = (Path(__file__).parents[2] / "docs" / "segment.md").read_text(encoding="utf-8")
    assert [name for name in (*LESION_COLUMNS, *OUTPUT_SUFFIXES) if f"`{name}`" not in told] == []


def test_names_that_may_be_burnt_in_are_noted_where_the_header_denies_them(bright: Any, tmp_path: Path) -> None:
    (source,) = (path for path in write_demo_files(tmp_path / "demo") if path.stem == "breast_benign")
    data = pydicom.dcmread(source)
    (tmp_path / "in").mkdir()
    for name, said, is_blank in (("yes", "YES", False), ("no", "NO", False), ("clean", "NO", True)):
        data.BurnedInAnnotation = said
        if is_blank:
            pixels = data.pixel_array.copy()
            box = data.SequenceOfUltrasoundRegions[0]
            inside = np.zeros(pixels.shape, bool)
            inside[
                box.RegionLocationMinY0 : box.RegionLocationMaxY1, box.RegionLocationMinX0 : box.RegionLocationMaxX1
            ] = 1
            data.PixelData = np.where(inside, pixels, 0).astype(np.uint8).tobytes()
        data.save_as(tmp_path / "in" / f"{name}.dcm")
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(("png",)))
    told = {row["output"]: "BurnedInAnnotation" in row["note"] for row in table(tmp_path / "out")}
    assert told == {"yes": False, "no": True, "clean": False}
