"""What compressed pixels say of themselves, and what is refused before a decoder sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from bus_monai.dicom.codestream import Codestream, PixelError, check_encoded, read_codestream, read_rle
from bus_monai.sources.read import read_source
from tests.dicom.pixel_files import BASE, COLUMNS, ENCODED, RGB, ROWS, compressed, jpeg, written
from tests.user_errors import raises_user_error


def test_rows_of_rle_that_are_too_few_are_refused(tmp_path: Path) -> None:
    data = encapsulate([compressed(BASE, RLELossless)])
    path = written(tmp_path, BASE, syntax=RLELossless, PixelData=data, Rows=ROWS - 8)
    with raises_user_error(path=path):
        read_source(path)


@pytest.mark.parametrize(
    ("syntax", "kind", "luma"),
    [(JPEGBaseline8Bit, "dct", True), (JPEG2000Lossless, "2000", None), (JPEGLSLossless, "ls", None)],
)
def test_size_and_kind_are_those_of_the_encoder(syntax: UID, kind: str, luma: bool | None) -> None:
    for pixels, components in ((BASE, 1), (RGB, 3)):
        found = read_codestream(ENCODED[syntax](pixels))
        assert found == Codestream(ROWS, COLUMNS, components, kind, 8, has_luma=luma)


def test_a_jpeg_that_keeps_rgb_says_so() -> None:
    found = read_codestream(jpeg(RGB, keep_rgb=True))
    assert found is not None
    assert found.has_luma is False


def test_the_head_of_rle_gives_its_first_bytes_back() -> None:
    wide = BASE.astype(np.uint16) * 256 + 7
    for pixels, components, bits in ((BASE, 1, 8), (RGB, 3, 8), (wide, 1, 16)):
        found = read_rle(compressed(pixels, RLELossless), ROWS, COLUMNS)
        assert found == (Codestream(ROWS, COLUMNS, components, "rle", bits), BASE.tobytes())
    assert read_rle(BASE.tobytes(), ROWS, COLUMNS) is None
    with pytest.raises(PixelError, match="3,072 pixels, but 40 x 64 are 2,560"):
        read_rle(compressed(BASE, RLELossless), 40, COLUMNS)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless])
def test_a_frame_of_another_size_or_without_one_is_refused(syntax: UID) -> None:
    path, encoded = Path("a.dcm"), ENCODED[syntax](BASE)
    check_encoded(path, encoded, syntax, ROWS, COLUMNS)
    with raises_user_error("48 x 64", "40 x 64", path=path):
        check_encoded(path, encoded, syntax, 40, COLUMNS)
    with raises_user_error("without a valid size", path=path):
        check_encoded(path, encoded[:8], syntax, ROWS, COLUMNS)
