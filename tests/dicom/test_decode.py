"""Frames are decoded to the gray that is meant, whatever the header says of bits, signs, colors and windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
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


GRAYS = np.arange(256)
"""What a table gives for each value."""


def with_palette(path: Path, table: np.ndarray, bits: int) -> Path:
    data = pydicom.dcmread(path)
    for color in ("Red", "Green", "Blue"):
        setattr(data, f"{color}PaletteColorLookupTableDescriptor", [len(table), 0, bits])
        data[f"{color}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(data, f"{color}PaletteColorLookupTableData", table.tobytes())
    data.save_as(path)
    return path


TABLES = [
    (GRAYS.astype(np.uint16), 8), (GRAYS.astype(np.uint16), 16),
    ((GRAYS * 257).astype(np.uint16), 8), ((GRAYS * 257).astype(np.uint16), 16), ((GRAYS * 256).astype(np.uint16), 16),
    ((GRAYS * 16).astype(np.uint16), 12),
]  # fmt: skip


@pytest.mark.parametrize(("table", "bits"), [*TABLES, (GRAYS.astype(np.uint8), 8), (GRAYS.astype(np.uint8), 16)])
def test_a_palette_has_the_bits_of_its_values(tmp_path: Path, table: np.ndarray, bits: int) -> None:
    path = with_palette(written(tmp_path, BASE, PhotometricInterpretation="PALETTE COLOR"), table, bits)
    np.testing.assert_allclose(read_source(path).pixels, BASE / 255, atol=0.004)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments_has_the_bits_of_its_values(tmp_path: Path, bits: int) -> None:
    """One discrete segment of the first value, and a linear one up to the last, PS3.3 C.7.9.2."""
    path = written(tmp_path, BASE, PhotometricInterpretation="PALETTE COLOR")
    data = pydicom.dcmread(path)
    for color in ("Red", "Green", "Blue"):
        data.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [256, 0, bits])
        segments = np.array([0, 1, 0, 1, 255, 255], f"u{bits // 8}").tobytes()
        data.add_new(f"Segmented{color}PaletteColorLookupTableData", "OW", segments)
    data.save_as(path)
    np.testing.assert_allclose(read_source(path).pixels, BASE / 255, atol=0.004)


@pytest.mark.parametrize(("table", "bits"), TABLES)
@pytest.mark.parametrize("kind", ["US", "OW"])
def test_a_table_of_gray_has_the_bits_of_its_values(tmp_path: Path, table: np.ndarray, bits: int, kind: str) -> None:
    item = Dataset()
    item.LUTDescriptor = [len(table), 0, bits]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", kind, table.tolist() if kind == "US" else table.tobytes())
    path = written(tmp_path, 255 - BASE, PhotometricInterpretation="MONOCHROME1", VOILUTSequence=[item])
    np.testing.assert_allclose(read_source(path).pixels, BASE / 255, atol=0.004)


def test_a_table_of_gray_with_more_entries_than_its_values_have_bits(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "US", (np.arange(4096) // 16).tolist())
    path = written(tmp_path, BASE.astype(np.uint16) * 16, VOILUTSequence=[item])
    np.testing.assert_allclose(read_source(path).pixels, BASE / 255, atol=0.004)
