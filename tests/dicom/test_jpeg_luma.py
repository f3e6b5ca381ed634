"""JPEG baseline cines straight to grey, the same as by way of all their channels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import iter_pixels

from bus_monai.dicom.read import read_frame, read_frames
from bus_monai.errors import UserError
from tests.dicom.objects import CINE, SOURCES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
LUMA = np.array([0.299, 0.587, 0.114])


def path_of(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


@pytest.mark.parametrize("name", [CINE, "color3d_jpeg_baseline.dcm"])
def test_luma_is_the_first_channel_of_pydicom_to_one_grey_level(name: str) -> None:
    path = path_of(name)
    for frame, (source, reference) in enumerate(zip(read_frames(path), iter_pixels(path, raw=True), strict=False)):
        difference = np.abs(source.pixels * 255 - reference[..., 0])
        assert difference.max() < 1.001
        assert difference.mean() < 0.1
        if frame == 9:
            break


@pytest.mark.parametrize("name", [x for x in SOURCES if x != "color3d_jpeg_baseline.dcm"])
def test_frames_in_a_row_are_those_one_by_one(name: str) -> None:
    sources = list(read_frames(path_of(name)))
    assert [x.frame for x in sources] == list(range(sources[0].frames))
    for source in sources:
        one = read_frame(path_of(name), source.frame)
        np.testing.assert_array_equal(source.pixels, one.pixels)
        assert (source.spacing_mm, source.frames) == (one.spacing_mm, one.frames)


def cine(folder: Path, frames: list[bytes], *, extended: bool = False, offsets: bool = True, **values: object) -> Path:
    dataset = pydicom.dcmread(path_of(CINE))
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = encapsulate(frames, has_bot=offsets)
    if extended:
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    for key, value in values.items():
        setattr(dataset, key, value)
    dataset.save_as(folder / "a.dcm")
    return folder / "a.dcm"


def picture(seed: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:240, :320]
    return np.stack([y, 255 - x * 0.7, np.full_like(x, 40 * seed)], axis=-1).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("how", [{}, {"extended": True}, {"offsets": False}])
def test_frames_are_found_with_and_without_tables(how: dict[str, bool], tmp_path: Path) -> None:
    path = cine(tmp_path, [encoded(picture(seed)) for seed in range(4)], **how)
    for seed, source in enumerate(read_frames(path)):
        for pixels in (source.pixels, read_frame(path, seed).pixels):
            assert np.abs(pixels * 255 - picture(seed) @ LUMA).mean() < 1


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_no_channel_of_an_rgb_jpeg_is_taken_for_its_luma(photometric: str, tmp_path: Path) -> None:
    rgb = encoded(picture(3), keep_rgb=True)
    path = cine(tmp_path, [rgb, rgb], PhotometricInterpretation=photometric)
    expected = picture(3) @ LUMA
    assert np.abs(expected - picture(3)[..., 0]).mean() > 20
    for source in read_frames(path):
        assert np.abs(source.pixels * 255 - expected).mean() < 1
    assert np.abs(read_frame(path, 1).pixels * 255 - expected).mean() < 1


def test_missing_cut_and_foreign_frames_are_named(tmp_path: Path) -> None:
    whole = encoded(picture(1))
    path = cine(tmp_path, [whole, whole[: len(whole) // 2]])
    frames = read_frames(path)
    assert next(frames).frame == 0
    with pytest.raises(UserError, match=r"The pixels of '.*a\.dcm' cannot be decoded \(.*truncated"):
        next(frames)
    path = cine(tmp_path, [whole, whole], NumberOfFrames=3)
    with pytest.raises(UserError, match=r"cannot be decoded \(less than 3 frames are there\)"):
        list(read_frames(path))
    path = cine(tmp_path, [encoded(picture(1)[:100])])
    with pytest.raises(UserError, match=r"cannot be decoded \(a frame has 100 x 320 pixels\)"):
        read_frame(path)
