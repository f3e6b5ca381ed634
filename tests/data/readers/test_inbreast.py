"""INbreast: contours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.readers.inbreast import read_inbreast, write_inbreast_case
from tests.published_layouts import square
from tests.user_errors import raises_user_error


def test_masses_are_drawn_and_nothing_else(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    written = {case.id: write_inbreast_case(case, tmp_path) for case in read_inbreast(layouts["inbreast"]())}
    assert [path.name for path in written["20586934"].masks] == ["20586934_1.png", "20586934_2.png"]
    # columns 7.5 to 15.5 and rows 3.5 to 9.5 hold the pixels 8 to 15 and 4 to 9
    np.testing.assert_array_equal(np.asarray(Image.open(written["20586908"].masks[0])), square())
    assert written["20586960"].masks == ()
    assert written["20586908"].image.suffix == ".dcm"


def test_a_region_without_name_is_no_mass(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["inbreast"]()
    contours = folder / "AllXML" / "20586908.xml"
    contours.write_text(contours.read_text().replace("<key>Name</key><string>Calcification</string>", ""))
    assert "Calcification" not in contours.read_text()
    assert len(read_inbreast(folder)[0].masks) == 1


@pytest.mark.parametrize("text", ["", "<plist", "<plist><dict></dict></plist>", "<plist><array/></plist>"])
def test_broken_contours_are_named(layouts: dict[str, Callable[[], Path]], text: str) -> None:
    folder = layouts["inbreast"]()
    (folder / "AllXML" / "20586908.xml").write_text(text)
    with raises_user_error(path=folder / "AllXML" / "20586908.xml"):
        read_inbreast(folder)
