"""CBIS-DDSM: the real tables, and generated pixels as they are downloaded. INbreast: contours."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.readers.mammography import (
    read_cbis_ddsm,
    read_inbreast,
    read_masses,
    write_cbis_ddsm_case,
    write_inbreast_case,
    write_mass_shapes,
)
from tests.published_layouts import save_dicom, square
from tests.user_errors import raises_user_error


@pytest.fixture
def folder(layouts: dict[str, Callable[[], Path]]) -> Path:
    return layouts["cbis_ddsm"]()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / "out" / name).mkdir(parents=True)
    return tmp_path / "out"


def test_the_mask_is_the_file_of_the_mammograms_size(folder: Path, out: Path) -> None:
    case = write_cbis_ddsm_case(read_cbis_ddsm(folder)[0], out)
    assert case.image.name == "Mass-Training_P_00001_LEFT_CC.dcm"
    for number, path in enumerate(case.masks, start=1):
        assert path.name == f"Mass-Training_P_00001_LEFT_CC_{number}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), square(4 + 6 * number))


def test_a_mask_of_another_size_is_scaled_to_its_mammogram(folder: Path, out: Path) -> None:
    mask = read_cbis_ddsm(folder)[1].masks[0]
    save_dicom(mask, np.kron(square(), np.ones((2, 2), np.uint8)))
    written = write_cbis_ddsm_case(read_cbis_ddsm(folder)[1], out)
    np.testing.assert_array_equal(np.asarray(Image.open(written.masks[0])), square())


def test_files_are_found_by_the_path_of_the_table_too(folder: Path) -> None:
    names = {"Mass-Training_P_00004_LEFT_CC": "1.3/1.4", "Mass-Training_P_00004_LEFT_CC_1": "1.5/1.6"}
    for subject, series in names.items():
        home = folder / "CBIS-DDSM" / subject
        (home / series).mkdir(parents=True)
        for i, path in enumerate(sorted((home / "08-07-2016").iterdir())):
            shutil.move(path, home / series / f"{i:06}.dcm")
    case = read_cbis_ddsm(folder)[1]
    assert case.image.relative_to(folder).as_posix() == "CBIS-DDSM/Mass-Training_P_00004_LEFT_CC/1.3/1.4/000000.dcm"
    assert case.masks[0].name == "000001.dcm"


def test_shapes_are_kept(folder: Path, out: Path) -> None:
    write_mass_shapes(folder, out)
    with (out / "mass_shapes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["id", "mass", "shape"],
        ["Mass-Training_P_00001_LEFT_CC", "1", "IRREGULAR-ARCHITECTURAL_DISTORTION"],
        ["Mass-Training_P_00001_LEFT_CC", "2", "OVAL"],
        ["Mass-Training_P_00004_LEFT_CC", "1", "ROUND"],
        ["Mass-Training_P_00005_LEFT_CC", "1", "LOBULATED"],
    ]


def test_real_tables(shared: Path) -> None:
    folder = shared / "data" / "cbis_ddsm"
    masses = read_masses(folder)
    assert Counter(mass.table.name for mass in masses) == {
        "mass_case_description_train_set.csv": 1318,
        "mass_case_description_test_set.csv": 378,
    }
    assert len({mass.image_id for mass in masses}) == 1592
    assert len({mass.patient for mass in masses}) == 892
    assert Counter(mass.diagnosis for mass in masses) == {"benign": 912, "malignant": 784}
    assert Counter(mass.shape for mass in masses).most_common(3) == [
        ("IRREGULAR", 464), ("OVAL", 412), ("LOBULATED", 384),
    ]  # fmt: skip
    assert all(mass.mask.endswith(".dcm") for mass in masses)


def test_real_tables_without_pixels_say_how_much_is_missing(shared: Path) -> None:
    folder = shared / "data" / "cbis_ddsm"
    # 1231 mammograms and 1318 masks
    with raises_user_error(2549, "Mass-Training_P_00001_LEFT_CC", path=folder / "mass_case_description_train_set.csv"):
        read_cbis_ddsm(folder)


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
