"""What is found in the frames of a file, and what of it is left out or noted."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.items import inference_items
from bus_monai.geometry.box import Box, Region
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.segment_frames import MAX_BEGUN_PIXELS, Find, FindInFrame, FoundFrame, Frame, segment_frames
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import open_source
from tests.inference.segment_files import PNG, draw, table, write_cine
from tests.user_errors import raises_user_error


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """Thirty frames, each with its number in its first pixel."""
    pixels = np.full((30, 240, 320), 60, np.uint8)
    pixels[:, 0, 0] = np.arange(30)
    return write_cine(tmp_path / "c.dcm", pixels)


def number_of(pixels: np.ndarray) -> int:
    # frames are segmented in any order
    return round(255 * float(pixels[0, 0]))


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


def test_a_lesion_of_a_cine_is_one_row(
    bright: Any, cine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = number_of(pixels), np.zeros(pixels.shape, np.float32)
        if 5 <= number < 9:
            probability[10 : 20 + number, 10 + number : 40] = 0.75
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([cine], tmp_path / "out", bright, SegmentSettings(PNG))
    (row,) = table(tmp_path / "out")
    assert [row[key] for key in ("lesions", "frame", "first_frame", "last_frame")] == ["1", "8", "5", "8"]
    assert row["probability"] == "0.75"
    masks = sorted(path.name for path in (tmp_path / "out").glob("*_mask.png"))
    assert masks == [f"c_frame{number:03d}_mask.png" for number in range(30)]
    # a bundle's own inference calls them the same
    assert masks == [Path(item["output"]).name for item in inference_items(cine, tmp_path)]
    assert (np.asarray(Image.open(tmp_path / "out" / "c_frame006_mask.png")) > 0).sum() == 16 * 24


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
    bright: Any, cine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = number_of(pixels), np.zeros(pixels.shape, np.float32)
        if number == 3:  # larger than the lesion
            probability[10:110, 10:110] = 1
        if 20 <= number < 24:
            probability[120:150, 150 : 190 + number] = 1
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([cine], tmp_path / "out", bright, SegmentSettings(PNG))
    (row,) = table(tmp_path / "out")
    assert [row[key] for key in ("lesions", "frame", "first_frame", "last_frame")] == ["1", "23", "20", "23"]
    assert row["note"] == "1 seen in one frame alone left out"
    assert not np.asarray(Image.open(tmp_path / "out" / "c_frame003_mask.png")).any()
    overlay = np.asarray(Image.open(tmp_path / "out" / "c_overlay.png").convert("RGB")).astype(int)
    outlined = np.argwhere(np.abs(overlay - overlay.mean(axis=2, keepdims=True)).max(axis=2) > 60)
    assert outlined[:, 0].min() > 100  # of the words above the lesion


def test_lesions_of_a_cine_are_followed_through_gaps(
    bright: Any, cine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:
        number, probability = number_of(pixels), np.zeros(pixels.shape, np.float32)
        if number in (2, 3, 6, 7):  # two frames missing between
            probability[50:80, 50:80] = 1
        if 3 <= number < 20:  # moves, and passes where the first was after it has gone
            probability[100 - 5 * number : 130 - 5 * number, 150 - 7 * number : 190 - 7 * number] = 1
        if number > 25:
            probability[50:80, 50:80] = 1
        return probability

    monkeypatch.setattr(bright, "predict", predict)
    segment_inputs([cine], tmp_path / "out", bright, SegmentSettings(PNG))
    seen = [(row["lesion"], row["first_frame"], row["last_frame"]) for row in table(tmp_path / "out")]
    assert seen == [("1", "2", "7"), ("2", "3", "19"), ("3", "26", "29")]
    assert {row["lesions"] for row in table(tmp_path / "out")} == {"3"}


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


class Counting:
    """Begins as many frames as it is given, and notes how many there are at once, and of how many files."""

    def __init__(self) -> None:
        self.begun = self.most = 0
        self.asked: set[int] = set()

    def at_once(self, frames: int) -> int:
        self.asked.add(frames)
        return 100

    def submit(self, find: Find, frame: Frame, /) -> Future[FoundFrame]:
        self.begun += 1
        self.most = max(self.most, self.begun)
        counting = self

        class Done(Future[FoundFrame]):
            def result(self, timeout: float | None = None) -> FoundFrame:
                counting.begun -= 1
                return find(frame)

        return Done()


@pytest.mark.parametrize(("height", "most"), [(1, 9), (1600, MAX_BEGUN_PIXELS // 3_200_000), (2001, 0)])
def test_frames_begun_are_bounded_by_their_pixels(bright: Any, tmp_path: Path, height: int, most: int) -> None:
    def images() -> Generator[SourceImage, None, None]:
        for number in range(9):
            yield SourceImage(np.full((height, 2000), 0.25, np.float32), None, frame=number, frames=9)

    helpers = Counting()
    with open_source(draw(tmp_path / "a.png", (2, 2, 8, 8))) as source:
        found = segment_frames(FindInFrame(bright, 0.5), source, images, helpers=helpers)
    assert (len(found.labels), helpers.most, helpers.begun) == (9, most, 0)
    assert helpers.asked == ({9} if most else set())


@pytest.mark.parametrize("value", [51 / 255, 0.2001])
def test_a_frame_is_pickled_without_a_change(value: float) -> None:
    image = SourceImage(np.full((9, 7), value, np.float32), (0.1, 0.2), 3, 4, notes=("odd",))
    packed = pickle.dumps(frame := Frame(image, (Region(Box(0, 0, 9, 7), ((0, 9),) * 7),)))
    other = pickle.loads(packed)
    assert other.shows == frame.shows
    assert vars(other.image) | {"pixels": 0} == vars(image) | {"pixels": 0}
    assert other.image.pixels.dtype == np.float32
    np.testing.assert_array_equal(other.image.pixels, image.pixels)
    assert (b"float32" in packed or b"f4" in packed) == (value == 0.2001)
