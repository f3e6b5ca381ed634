"""Frames are decoded to the gray that is meant, whatever the header says of bits, signs, colors and windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from bus_monai.io.gray import LUMA_WEIGHTS
from bus_monai.sources.read import read_source
from tests.dicom.pixel_files import BASE, COLUMNS, ENCODED, RGB, ROWS, compressed, jpeg, written
from tests.user_errors import raises_user_error


@pytest.mark.parametrize("syntax", ENCODED)
@pytest.mark.parametrize(
    ("pixels", "wrong"),
    [
        (BASE, {"Rows": COLUMNS, "Columns": ROWS}),
        (RGB, {"Rows": COLUMNS, "Columns": ROWS}),
        (BASE, {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}),
        (BASE, {"BitsStored": 6, "HighBit": 5}),
        (RGB, {"BitsStored": 6, "HighBit": 5}),
        (BASE, {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        (RGB, {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}),
        (BASE, {"PixelRepresentation": 1}),
        (RGB, {"PixelRepresentation": 1}),
        (BASE, {"BitsAllocated": None}),
    ],
)
def test_what_a_compressed_image_says_of_itself_counts(
    tmp_path: Path, syntax: UID, pixels: np.ndarray, wrong: dict[str, Any]
) -> None:
    data = encapsulate([ENCODED[syntax](pixels)])
    found = read_source(written(tmp_path, pixels, syntax=syntax, PixelData=data, **wrong))
    assert found.pixels.shape == (ROWS, COLUMNS)
    assert np.abs(found.pixels - BASE / 255).max() < 0.03
    assert any("Rows and Columns are 48 and 64" in note for note in found.notes) == ("Rows" in wrong)


@pytest.mark.parametrize("syntax", ENCODED)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_frame_that_ends_in_zeros_is_broken(tmp_path: Path, syntax: UID, share: float) -> None:
    whole = ENCODED[syntax](RGB)
    left = int(share * len(whole))
    data = encapsulate([whole[:left] + bytes(len(whole) - left)])
    path = written(tmp_path, RGB, syntax=syntax, PixelData=data)
    with raises_user_error(path):
        read_source(path)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize(
    "wrong", [{"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, {"BitsStored": 10}, {"PixelRepresentation": 1}]
)
def test_twelve_bits_of_a_compressed_image_count(tmp_path: Path, syntax: UID, wrong: dict[str, Any]) -> None:
    wide = BASE.astype(np.uint16) * 16
    data = encapsulate([compressed(wide, syntax)])
    words = {"BitsStored": 12, "HighBit": 11} | wrong
    found = read_source(written(tmp_path, wide, syntax=syntax, PixelData=data, **words))
    np.testing.assert_allclose(found.pixels, wide / wide.max(), atol=0.001)


def test_an_overlay_in_the_bits_of_the_pixels_is_no_part_of_the_picture(tmp_path: Path) -> None:
    drawn = BASE.astype(np.uint16) * 16
    drawn[10:20, 5:50] |= 0x1000
    path = written(tmp_path, drawn, BitsStored=12, HighBit=11)
    data = pydicom.dcmread(path)
    data.add_new(0x60000102, "US", 12)
    data.save_as(path)
    np.testing.assert_allclose(read_source(path).pixels, BASE / np.float32(BASE.max()), atol=0.001)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, RLELossless, ExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_compressed_bytes_of_another_syntax_are_read(tmp_path: Path, syntax: UID, kind: UID) -> None:
    path = written(tmp_path, BASE, syntax=kind, PixelData=encapsulate([ENCODED[kind](BASE)]))
    width = max(len(kind), len(syntax))
    content = path.read_bytes()
    assert len(kind) == width
    path.write_bytes(content.replace(kind.encode(), syntax.encode().ljust(width, b"\0"), 1))
    assert np.abs(read_source(path).pixels - BASE / 255).max() < 0.03


YBR = np.asarray(Image.fromarray(RGB).convert("YCbCr"))


@pytest.mark.parametrize(
    ("pixels", "wrong"),
    [
        (YBR, {"PhotometricInterpretation": "YBR_FULL_422"}),
        (YBR, {"PhotometricInterpretation": "RGB"}),
        (RGB, {"PhotometricInterpretation": "YBR_FULL"}),
        (RGB, {"PlanarConfiguration": 1}),
        (np.ascontiguousarray(RGB.transpose(2, 0, 1)).reshape(ROWS, COLUMNS, 3), {}),
        (RGB, {"SamplesPerPixel": 1}),
        (RGB, {"PhotometricInterpretation": "MONOCHROME2"}),
        (BASE, {"PixelRepresentation": 1}),
        (BASE, {"PhotometricInterpretation": "RGB"}),
    ],
)
def test_a_wrong_color_model_is_seen_by_the_bytes(tmp_path: Path, pixels: np.ndarray, wrong: dict[str, Any]) -> None:
    np.testing.assert_allclose(read_source(written(tmp_path, pixels, **wrong)).pixels, BASE / 255, atol=1.01 / 255)


@pytest.mark.parametrize(
    "model", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "MONOCHROME2"]
)
@pytest.mark.parametrize("options", [{}, {"keep_rgb": True}])
def test_a_jpeg_says_itself_what_its_colors_are(tmp_path: Path, model: str, options: dict[str, Any]) -> None:
    vivid = np.dstack([BASE, 255 - BASE, BASE // 3])
    data = encapsulate([jpeg(vivid, subsampling=0, **options)])
    path = written(tmp_path, vivid, syntax=JPEGBaseline8Bit, PixelData=data, PhotometricInterpretation=model)
    expected = vivid @ np.array([0.299, 0.587, 0.114]) / 255
    assert np.abs(read_source(path).pixels - expected).mean() < 0.01


VIVID = np.dstack([BASE, 255 - BASE, BASE // 3])


@pytest.mark.parametrize("syntax", ENCODED)
@pytest.mark.parametrize("planar", [0, 1])
def test_compressed_colors_lie_as_the_decoder_says(tmp_path: Path, syntax: UID, planar: int) -> None:
    """PlanarConfiguration means nothing there, and is left as it was before."""
    data = encapsulate([ENCODED[syntax](VIVID)])
    path = written(tmp_path, VIVID, syntax=syntax, PixelData=data, PlanarConfiguration=planar)
    assert np.abs(read_source(path).pixels - VIVID @ LUMA_WEIGHTS / 255).mean() < 0.01


@pytest.mark.parametrize("planar", [0, 1])
def test_colors_of_lossless_jpeg_lie_as_the_decoder_says(tmp_path: Path, planar: int) -> None:
    path = tmp_path / "a.dcm"
    data = pydicom.dcmread(str(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)))
    data.PlanarConfiguration = planar
    data.save_as(path)
    plain = read_source(Path(str(get_testdata_file("SC_rgb_rle.dcm", download=False))))
    np.testing.assert_array_equal(read_source(path).pixels, plain.pixels)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (BASE.astype(np.uint16) * 16, {"WindowCenter": "2040.5", "WindowWidth": "4081"}),
        (BASE.astype(np.uint16), {"WindowCenter": "128", "WindowWidth": "256"}),
        (BASE.astype(np.int16), {"WindowCenter": "128", "WindowWidth": "256"}),
        (BASE.astype(np.uint16), {}),
        (BASE.astype(np.uint16), {"WindowCenter": "9000", "WindowWidth": "10"}),
        (BASE.astype(np.int16) - 1000, {"RescaleSlope": "1", "RescaleIntercept": "1000", "WindowCenter": "128",
                                        "WindowWidth": "256"}),
        (255 - BASE, {"PhotometricInterpretation": "MONOCHROME1"}),
        (255 - BASE, {"RescaleSlope": "-1", "RescaleIntercept": "255"}),
        (BASE, {"WindowCenter": ["128", "40"], "WindowWidth": ["256", "80"]}),
    ],
)  # fmt: skip
def test_the_same_picture_is_the_same_gray(tmp_path: Path, pixels: np.ndarray, words: dict[str, Any]) -> None:
    np.testing.assert_allclose(read_source(written(tmp_path, pixels, **words)).pixels, BASE / 255, atol=0.005)
