"""What a header says is checked against the bytes: they are read right, or refused; never in silence wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from bus_monai.dicom.pixel_layout import _is_turned
from bus_monai.sources.read import read_all_frames, read_source
from tests.dicom.pixel_files import BASE, COLUMNS, FRAMES, RGB, ROWS, compressed, jpeg, written
from tests.user_errors import raises_user_error


@pytest.mark.parametrize("said", [None, 1, 2, 3])
def test_all_frames_that_are_there_are_read(tmp_path: Path, said: int | None) -> None:
    found = list(read_all_frames(written(tmp_path, FRAMES, NumberOfFrames=said)))
    np.testing.assert_array_equal([image.pixels for image in found], FRAMES / np.float32(255))
    assert all(any("3 frames" in note for note in image.notes) == (said != 3) for image in found)


@pytest.mark.parametrize("said", [None, 1, 2, 3])
@pytest.mark.parametrize("offsets", [True, False])
def test_all_compressed_frames_are_read(tmp_path: Path, said: int | None, offsets: bool) -> None:
    data = encapsulate([jpeg(frame) for frame in FRAMES], has_bot=offsets)
    path = written(tmp_path, FRAMES, syntax=JPEGBaseline8Bit, PixelData=data, NumberOfFrames=said)
    found = list(read_all_frames(path))
    assert len(found) == 3
    assert np.abs([image.pixels for image in found] - FRAMES / 255).max() < 0.03
    assert np.abs(read_source(path, 2).pixels - FRAMES[2] / 255).max() < 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        {"Rows": ROWS - 5}, {"Columns": COLUMNS - 1}, {"Rows": ROWS + 1}, {"BitsStored": 12}, {"BitsAllocated": 12},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, {"Rows": None}, {"SamplesPerPixel": 4},
    ],
)  # fmt: skip
def test_what_the_bytes_contradict_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = written(tmp_path, BASE, **wrong)
    with raises_user_error(path=path):
        read_source(path)


def test_sixteen_bits_are_not_two_frames_of_eight(tmp_path: Path) -> None:
    wide = BASE.astype(np.uint16) * 37
    path = written(tmp_path, wide, BitsAllocated=8, BitsStored=8, HighBit=7)
    with raises_user_error(path=path):
        read_source(path)


def test_three_samples_are_not_three_frames(tmp_path: Path) -> None:
    path = written(tmp_path, RGB, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
    with raises_user_error(path=path):
        read_source(path)


@pytest.mark.parametrize("pixels", [BASE, RGB, BASE.astype(np.uint16) * 200])
def test_rows_and_columns_that_are_swapped_are_told_by_the_bytes(tmp_path: Path, pixels: np.ndarray) -> None:
    found = read_source(written(tmp_path, pixels, Rows=COLUMNS, Columns=ROWS))
    assert found.pixels.shape == (ROWS, COLUMNS)
    assert any("Rows and Columns are 48 and 64" in note for note in found.notes)


ONE = np.fromfunction(lambda y, x: 90 + 60 * np.sin(y / 5) * np.cos(x / 11), (ROWS, ROWS)).astype(np.uint8)
FLOW = ONE.copy()
FLOW[10:20, 15:30] = 230


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("other", [ONE, FLOW, ONE + np.random.default_rng(1).integers(0, 4, ONE.shape, np.uint8)])
@pytest.mark.parametrize("pictures", [2, 3])
@pytest.mark.parametrize("bar", [0, 2])
def test_the_same_picture_side_by_side_is_not_swapped(
    tmp_path: Path, syntax: UID, other: np.ndarray, pictures: int, bar: int
) -> None:
    """A row of such a screen is as long as twice its rows, so that pixels that far apart are alike."""
    screen = np.hstack([ONE, *[other] * (pictures - 1), np.zeros((ROWS, bar), np.uint8)])
    data = encapsulate([compressed(screen, syntax)]) if syntax == RLELossless else screen.tobytes()
    found = read_source(written(tmp_path, screen, syntax=syntax, PixelData=data, Columns=screen.shape[1]))
    np.testing.assert_array_equal(found.pixels, screen / np.float32(255))


@pytest.mark.parametrize("rows", [24, 40, 47])
@pytest.mark.parametrize("texture", [0, 10])
def test_a_picture_of_any_shape_that_is_swapped_is_turned(tmp_path: Path, rows: int, texture: int) -> None:
    picture = np.random.default_rng(rows).integers(0, texture + 1, (ROWS, rows), np.uint8) + ONE[:, :rows]
    found = read_source(written(tmp_path, picture, Rows=rows, Columns=ROWS))
    np.testing.assert_array_equal(found.pixels, picture / np.float32(255))


@given(st.integers(16, 60), st.integers(61, 200), st.sampled_from(["layers", "columns", "noise"]), st.booleans())
def test_a_true_size_is_never_swapped(rows: int, columns: int, kind: str, turned: bool) -> None:
    places = np.indices((rows, columns))
    picture = {
        "layers": places[0] * 255 // rows,
        "columns": places[1] * 255 // columns,
        "noise": np.random.default_rng(rows).integers(0, 256, (rows, columns)),
    }[kind]
    plane = (picture.T if turned else picture).astype(np.uint8)
    assert not _is_turned(np.ascontiguousarray(plane).ravel(), *plane.shape)


def test_elements_of_the_other_kind_than_the_syntax_says_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, BASE)
    explicit, implicit = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"
    path.write_bytes(path.read_bytes().replace(explicit, implicit, 1))
    np.testing.assert_array_equal(read_source(path).pixels, BASE / np.float32(255))
    data = pydicom.dcmread(written(tmp_path, BASE))
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.save_as(path, implicit_vr=True, little_endian=True)
    path.write_bytes(path.read_bytes().replace(b"\x12\0" + implicit[:18], b"\x14\0" + explicit, 1))
    np.testing.assert_array_equal(read_source(path).pixels, BASE / np.float32(255))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2"])
def test_other_syntaxes_and_no_preamble_are_the_same_picture(tmp_path: Path, syntax: str) -> None:
    import pydicom

    data = pydicom.dcmread(written(tmp_path, BASE))
    data.file_meta.TransferSyntaxUID = UID(syntax)
    explicit = syntax != "1.2.840.10008.1.2"
    data["PixelData"].VR = "OB" if explicit else "OW"
    data.save_as(tmp_path / "b.dcm", implicit_vr=not explicit, little_endian=True, enforce_file_format=False)
    np.testing.assert_array_equal(read_source(tmp_path / "b.dcm").pixels, BASE / np.float32(255))
    if syntax == "1.2.840.10008.1.2":
        content = (tmp_path / "b.dcm").read_bytes()
        at = content.index(b"\x08\x00\x16\x00")
        (tmp_path / "IM0001").write_bytes(content[at:])
        np.testing.assert_array_equal(read_source(tmp_path / "IM0001").pixels, BASE / np.float32(255))
