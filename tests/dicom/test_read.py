"""DICOM frames: every real ultrasound object of pydicom's, each color model against its reference."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import iter_pixels, pixel_array

from bus_monai.dicom.read import count_frames, frame_size, spacing_mm
from bus_monai.io.gray import GRAYS
from bus_monai.io.opened import open_source
from bus_monai.sources.read import read_all_frames, read_source
from tests.dicom.objects import CINE, SOURCES, ULTRASOUND
from tests.user_errors import raises_user_error

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
LUMA = np.array([0.299, 0.587, 0.114])


def frames_of(path: Path) -> int:
    with open_source(path) as source:
        return count_frames(source)


def path_of(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


@pytest.mark.parametrize("name", [CINE, "color3d_jpeg_baseline.dcm"])
def test_luma_is_the_first_channel_of_pydicom_to_one_gray_level(name: str) -> None:
    path = path_of(name)
    for frame, (source, reference) in enumerate(zip(read_all_frames(path), iter_pixels(path, raw=True), strict=False)):
        difference = np.abs(source.pixels * 255 - reference[..., 0])
        assert difference.max() < 1.001
        assert difference.mean() < 0.1
        assert source.levels is not None
        np.testing.assert_array_equal(GRAYS[source.levels], source.pixels)
        if frame == 9:
            break


@pytest.mark.parametrize("name", [x for x in SOURCES if x != "color3d_jpeg_baseline.dcm"])
def test_frames_in_a_row_are_those_one_by_one(name: str) -> None:
    sources = list(read_all_frames(path_of(name)))
    assert [x.frame for x in sources] == list(range(sources[0].frames))
    for source in sources:
        one = read_source(path_of(name), source.frame)
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
    for seed, source in enumerate(read_all_frames(path)):
        for pixels in (source.pixels, read_source(path, seed).pixels):
            assert np.abs(pixels * 255 - picture(seed) @ LUMA).mean() < 1


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_no_channel_of_an_rgb_jpeg_is_taken_for_its_luma(photometric: str, tmp_path: Path) -> None:
    rgb = encoded(picture(3), keep_rgb=True)
    path = cine(tmp_path, [rgb, rgb], PhotometricInterpretation=photometric)
    expected = picture(3) @ LUMA
    assert np.abs(expected - picture(3)[..., 0]).mean() > 20
    for source in read_all_frames(path):
        assert np.abs(source.pixels * 255 - expected).mean() < 1
    assert np.abs(read_source(path, 1).pixels * 255 - expected).mean() < 1


def test_missing_cut_and_foreign_frames_are_named(tmp_path: Path) -> None:
    whole = encoded(picture(1))
    path = cine(tmp_path, [whole, whole[: len(whole) // 2]])
    frames = read_all_frames(path)
    assert next(frames).frame == 0
    with raises_user_error(path=path):
        next(frames)
    path = cine(tmp_path, [whole, whole], NumberOfFrames=3)
    with raises_user_error("3 frames", path=path):
        list(read_all_frames(path))
    path = cine(tmp_path, [whole, encoded(picture(1)[:100])])
    with raises_user_error("100 x 320", path=path):
        read_source(path, 1)


def _path(name: str) -> Path:
    return Path(get_testdata_file(name))


def _written(folder: Path, **values: object) -> Path:
    """Write a real 8-bit RGB object with other values."""
    dataset = pydicom.dcmread(_path("examples_rgb_color.dcm"))
    for key, value in values.items():
        setattr(dataset, key, value)
    dataset.save_as(folder / "a.dcm")
    return folder / "a.dcm"


def _gray(folder: Path, pixels: np.ndarray, stored: int, photometric: str = "MONOCHROME2") -> Path:
    bits = pixels.dtype.itemsize * 8
    return _written(
        folder,
        PixelData=pixels.tobytes() + b"\0" * (pixels.nbytes % 2),
        Rows=pixels.shape[0],
        Columns=pixels.shape[1],
        SamplesPerPixel=1,
        PhotometricInterpretation=photometric,
        BitsAllocated=bits,
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=int(pixels.dtype.kind == "i"),
    )


@pytest.mark.parametrize("name", ULTRASOUND)
def test_every_real_ultrasound_object_is_read(name: str) -> None:
    rows, columns, frames, spacing = ULTRASOUND[name]
    source = read_source(_path(name), frames - 1)
    assert source.pixels.shape == frame_size(_path(name)) == (rows, columns)
    assert source.pixels.dtype == np.float32
    assert source.pixels.min() >= 0
    # a scan and its annotation use most of the range: a wrong depth or byte order would not
    assert 0.7 < source.pixels.max() <= 1
    assert (source.frame, source.frames, frames_of(_path(name))) == (frames - 1, frames, frames)
    assert source.spacing_mm == (None if spacing is None else pytest.approx((spacing, spacing)))


@pytest.mark.parametrize(
    ("one", "other", "tolerance"),
    [
        ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", 0),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm", 0),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm", 0),
        ("color-pl.dcm", "color-px.dcm", 0),
        ("US1_UNCR.dcm", "US1_J2KR.dcm", 0),
        ("US1_UNCI.dcm", "US1_J2KI.dcm", 0.15),
    ],
)
def test_an_image_is_the_same_in_every_encoding(one: str, other: str, tolerance: float) -> None:
    difference = np.abs(read_source(_path(one)).pixels - read_source(_path(other)).pixels)
    assert difference.max() <= tolerance
    assert difference.mean() < 0.001


def test_rgb_is_rec_601_luma() -> None:
    reference = pixel_array(_path("examples_rgb_color.dcm")) @ LUMA / 255
    np.testing.assert_allclose(read_source(_path("examples_rgb_color.dcm")).pixels, reference, atol=1e-6)


@pytest.mark.parametrize("frame", [0, 13, 29])
def test_the_luma_of_ybr_is_that_of_its_rgb(frame: int) -> None:
    path = _path("examples_ybr_color.dcm")
    reference = pixel_array(path, index=frame) @ LUMA / 255
    difference = np.abs(read_source(path, frame).pixels - reference)
    # RGB is rounded, and clipped where color is out of its range
    assert difference.mean() < 0.5 / 255
    assert np.quantile(difference, 0.99) < 2 / 255


@pytest.mark.parametrize(("dtype", "stored"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)])
def test_values_are_scaled_by_the_stored_bits(tmp_path: Path, dtype: type, stored: int) -> None:
    top = 2**stored - 1
    pixels = np.array([[0, top // 3], [top, top // 5]], dtype)
    np.testing.assert_allclose(read_source(_gray(tmp_path, pixels, stored)).pixels, pixels / top, atol=1e-6)


def test_monochrome_1_is_inverted(tmp_path: Path) -> None:
    path = _gray(tmp_path, np.array([[0, 51], [255, 204]], np.uint8), 8, "MONOCHROME1")
    np.testing.assert_allclose(read_source(path).pixels, [[1, 0.8], [0, 0.2]], atol=1e-6)


def test_signed_values_start_at_their_least(tmp_path: Path) -> None:
    path = _gray(tmp_path, np.array([[-32768, 32767]], np.int16), 16)
    np.testing.assert_allclose(read_source(path).pixels, [[0, 1]], atol=1e-6)


def _region(dx: float, dy: float, *, units: int = 3, spatial: int = 1) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat = spatial
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = dx, dy
    return region


@pytest.mark.parametrize(
    ("regions", "pixel_spacing", "expected"),
    [
        ([_region(0.02, 0.03)], None, (0.3, 0.2)),
        ([_region(0.02, -0.03)], None, (0.3, 0.2)),
        ([_region(0.02, 0.03), _region(0.02, 0.03)], None, (0.3, 0.2)),
        ([_region(0.02, 0.03), _region(0.01, 0.02)], None, None),
        ([_region(0.02, 0.03), _region(0.01, 0.02)], [0.5, 0.6], None),
        ([_region(0.02, 0.03), _region(0.01, 0.5, units=4, spatial=3)], None, (0.3, 0.2)),
        ([_region(0.02, 0.03, units=0)], None, None),
        ([_region(0.02, 0.03, units=0)], [0.5, 0.6], (0.5, 0.6)),
        ([_region(0, 0)], None, None),
        ([], [0.5, 0.6], (0.5, 0.6)),
        ([], None, None),
    ],
)
def test_spacing_is_read_and_never_invented(
    regions: list[Dataset], pixel_spacing: list[float] | None, expected: tuple[float, float] | None
) -> None:
    header = Dataset()
    if regions:
        header.SequenceOfUltrasoundRegions = regions
    if pixel_spacing:
        header.PixelSpacing = pixel_spacing
    assert spacing_mm(header) == (None if expected is None else pytest.approx(expected))


def test_a_region_without_its_delta_gives_no_spacing() -> None:
    region = _region(0.02, 0.03)
    del region.PhysicalDeltaY
    header = Dataset()
    header.SequenceOfUltrasoundRegions = [region]
    assert spacing_mm(header) is None


@pytest.mark.parametrize("frame", [-1, 30])
def test_a_missing_frame_is_named(frame: int) -> None:
    with raises_user_error(30, frame, path=_path("examples_ybr_color.dcm")):
        read_source(_path("examples_ybr_color.dcm"), frame)


def test_an_object_without_pixels_is_named() -> None:
    with raises_user_error(path=_path("reportsi.dcm")):
        read_source(_path("reportsi.dcm"))
    assert frames_of(_path("reportsi.dcm")) == 0


def test_a_segmentation_has_no_frames_to_segment() -> None:
    assert frames_of(_path("liver_1frame.dcm")) == 0


def test_cut_pixels_and_garbage_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.dcm").write_bytes(_path("examples_rgb_color.dcm").read_bytes()[:100_000])
    with raises_user_error(path=tmp_path / "cut.dcm"):
        read_source(tmp_path / "cut.dcm")
    (tmp_path / "garbage.dcm").write_bytes(b"garbage!" * 64)
    with raises_user_error(path=tmp_path / "garbage.dcm"):
        frames_of(tmp_path / "garbage.dcm")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = _written(tmp_path, Rows=60_000, Columns=60_000)
    with raises_user_error("60000 x 60000", "25,000,000", path=path):
        read_source(path)
