"""A source is opened once on its way through ``segment``, whatever is written of it.

What counts is every ``open`` of the file's path in this process, by Python or by a library, as the interpreter's own
audit event tells it. A file whose name promises nothing is opened once more by the listing, which must look into it
before it can be an item of a batch, and is not held open until its turn; so is a PNG, which may be a result.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.data.items import inference_items
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.io.opened import open_source
from bus_monai.sources.listing import list_sources
from bus_monai.sources.read import read_all_frames, read_image, read_images, read_source
from bus_monai.transforms.load import LoadUltrasoundd
from tests.dicom.objects import CINE
from tests.inference.bright_predictor import BrightPredictor
from tests.user_errors import raises_user_error

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
_counted: list[Counter[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _counted and isinstance(arguments[0], str | bytes | os.PathLike):
        _counted[-1][os.path.realpath(os.fsdecode(arguments[0]))] += 1


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    # an audit hook cannot be taken away again: it does nothing outside of these tests
    sys.addaudithook(_hear)


@pytest.fixture
def openings() -> Iterator[Callable[[Path], int]]:
    _counted.append(Counter())
    yield lambda path: _counted[-1][str(path.resolve())]
    _counted.pop()


def png(path: Path) -> Path:
    pixels = np.zeros((64, 80), np.uint8)
    pixels[20:50, 20:60] = 255
    Image.fromarray(pixels).save(path)
    return path


def dicom(path: Path, name: str) -> Path:
    shutil.copy(str(get_testdata_file(name)), path)
    return path


SOURCES = {
    "png": lambda folder: png(folder / "a.png"),
    "single frame": lambda folder: dicom(folder / "a.dcm", "examples_rgb_color.dcm"),
    "cine of 30 frames": lambda folder: dicom(folder / "a.dcm", CINE),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_segment_opens_a_source_once(kind: str, tmp_path: Path, openings: Callable[[Path], int]) -> None:
    pytest.importorskip("highdicom")
    source = tmp_path / "in"
    source.mkdir()
    path = SOURCES[kind](source)
    predictor: Any = BrightPredictor(tmp_path / "weights")
    before = openings(path)
    totals = segment_inputs([source], tmp_path / "out", predictor, SegmentSettings(("seg", "sr", "sc", "overlay")))
    assert totals["done"] == 1
    assert openings(path) - before == (2 if kind == "png" else 1)


@pytest.mark.parametrize("name", ["examples_rgb_color.dcm", CINE, "color3d_jpeg_baseline.dcm"])
def test_reading_opens_it_once(name: str, tmp_path: Path, openings: Callable[[Path], int]) -> None:
    path = dicom(tmp_path / "a.dcm", name)
    before = openings(path)
    read_source(path)
    assert openings(path) - before == 1
    frames = read_all_frames(path)
    for _ in range(2):
        next(frames, None)
    frames.close()
    assert openings(path) - before == 2


def test_a_listing_opens_a_cine_once_and_a_picture_not_at_all_before_it_is_asked_for_frames(
    tmp_path: Path, openings: Callable[[Path], int]
) -> None:
    cine = dicom(tmp_path / "a.dcm", CINE)
    before = openings(cine)
    assert list_sources(tmp_path) == [(cine, frame) for frame in range(30)]
    assert openings(cine) - before == 1


def test_inference_opens_a_cine_to_list_it_and_to_read_it(tmp_path: Path, openings: Callable[[Path], int]) -> None:
    cine = dicom(tmp_path / "a.dcm", CINE)
    before = openings(cine)
    items = inference_items(tmp_path, tmp_path / "out")
    assert openings(cine) - before == 1
    load = LoadUltrasoundd("image")
    frames = [load(item)["image"] for item in items]
    assert openings(cine) - before == 2
    assert [frame.meta["frame"] for frame in frames] == list(range(30))
    # in another order, and in another process, each is read by itself
    other = pickle.loads(pickle.dumps(load))
    for number in (7, 3):
        assert np.array_equal(other(items[number])["image"], frames[number])


def test_an_opened_source_knows_its_content_and_gives_its_frames_again_and_again(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", CINE)
    with open_source(path) as source:
        first = next(read_images(source)).pixels
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source.kind == "dicom"
        assert source.header.SOPInstanceUID == pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        frames = [image.pixels for image in read_images(source)]
        assert len(frames) == 30
        np.testing.assert_array_equal(frames[0], first)
        np.testing.assert_array_equal(read_image(source, 29).pixels, frames[29])


def test_a_file_is_read_as_it_was_opened(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png")
    with open_source(path) as source:
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "b.png")
        (tmp_path / "b.png").replace(path)
        assert read_image(source).pixels.shape == (64, 80)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with open_source(tmp_path / "empty.png") as source, raises_user_error(path=tmp_path / "empty.png"):
        read_image(source)
    for path in (tmp_path / "none.png", tmp_path):
        with raises_user_error(path=path), open_source(path):
            pass
