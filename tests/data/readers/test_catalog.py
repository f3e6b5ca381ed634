"""Each reader on its exact layout: ids, diagnoses, groups and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bus_monai.data.readers.catalog import PUBLISHED_SETS, find_set, recognize
from tests.user_errors import raises_user_error

Layouts = dict[str, Callable[[], Path]]

EXPECTED = {
    "bus_uclm": [
        ("ALWI_000", "ALWI", "benign", 1),
        ("ALWI_001", "ALWI", "normal", 1),
        ("CAWI_000", "CAWI", "malignant", 1),
        ("ORPE_004", "ORPE", "benign", 1),
    ],
    "bus_bra": [
        ("bus_0001-l", "patient_1", "benign", 1),
        ("bus_0001-r", "patient_1", "benign", 1),
        ("bus_0002-s", "patient_2", "malignant", 1),
        ("bus_0003-l", "patient_3", "benign", 1),
    ],
    "breast": [
        ("case001", "patient_1", "benign", 1),
        ("case002", "patient_2", "malignant", 2),
        ("case045", "patient_45", "normal", 0),
        ("case046", "patient_46", "benign", 1),
    ],
    "udiat": [
        ("000001", "000001", "benign", 1),
        ("000002", "000002", "malignant", 1),
        ("000003", "000003", "benign", 1),
        ("000014", "000014", "benign", 1),
    ],
    "oasbud": [
        ("001_OA_7_1", "OA_7", "benign", 1),
        ("001_OA_7_2", "OA_7", "benign", 1),
        ("002_OA_7_1", "OA_7", "malignant", 1),
        ("002_OA_7_2", "OA_7", "malignant", 1),
        ("003_OB_1", "OB", "malignant", 1),
        ("003_OB_2", "OB", "malignant", 1),
        ("004_OC_1", "OC", "benign", 1),
        ("004_OC_2", "OC", "benign", 1),
    ],
    "stu_hospital": [
        ("stu_1", "Test_Image_1", "unknown", 1),
        ("stu_2", "Test_Image_2", "unknown", 1),
        ("stu_10", "Test_Image_10", "unknown", 1),
    ],
    "cbis_ddsm": [
        ("Mass-Training_P_00001_LEFT_CC", "P_00001", "malignant", 2),
        ("Mass-Training_P_00004_LEFT_CC", "P_00004", "benign", 1),
        ("Mass-Training_P_00005_LEFT_CC", "P_00005", "benign", 1),
    ],
    "inbreast": [
        ("20586908", "6c613a14b80a8591", "malignant", 1),
        ("20586934", "6c613a14b80a8591", "benign", 2),
        ("20586960", "02fab0", "normal", 0),
        ("20586986", "03fab0", "normal", 0),
    ],
    "plain_folder": [("a", "a", "unknown", 1), ("b_2", "b_2", "unknown", 1), ("c", "c", "unknown", 2)],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_published_layout(layouts: Layouts, name: str) -> None:
    folder = layouts[name]()
    cases = find_set(name).read(folder)
    assert [(case.id, case.group, case.diagnosis, len(case.masks)) for case in cases] == EXPECTED[name]
    assert all(path.is_file() for case in cases for path in (case.image, *case.masks))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_layout_is_recognized_as_its_own_set(layouts: Layouts, name: str) -> None:
    published = recognize(layouts[name]())
    assert published is not None
    assert published.name == name


@pytest.mark.parametrize("published", PUBLISHED_SETS, ids=lambda published: published.name)
def test_an_archive_and_a_missing_folder_are_named(tmp_path: Path, published: object) -> None:
    read = find_set(published.name).read  # type: ignore[attr-defined]
    archive = tmp_path / "set.zip"
    archive.touch()
    with raises_user_error(path=archive):
        read(archive)
    with raises_user_error(path=tmp_path / "none"):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "file", "named"),
    [
        ("busi", "", ["BUSI", "benign/", "malignant/", "normal/"]),
        ("bus_uclm", "", ["BUS-UCLM", "images/", "masks/", "benign/", "malignant/", "normal/", "ALWI_000.png"]),
        ("bus_bra", "bus_data.csv", []),
        ("breast", "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx", []),
        ("udiat", "", ["UDIAT", "original/", "GT/", "000001.png"]),
        ("oasbud", "OASBUD.mat", ["OASBUD"]),
        ("stu_hospital", "", ["STU-Hospital", "Test_Image_1.png", "mask_1.png"]),
        (
            "cbis_ddsm",
            "",
            ["CBIS-DDSM", "mass_case_description_train_set.csv", "mass_case_description_test_set.csv"],
        ),
        ("inbreast", "INbreast.csv", []),
        ("plain_folder", "", ["images/", "masks/", "X.png", "X_mask.png"]),
    ],
)
def test_an_empty_folder_is_told_what_it_must_hold(tmp_path: Path, name: str, file: str, named: list[str]) -> None:
    with raises_user_error(*named, path=tmp_path / file):
        find_set(name).read(tmp_path)
    assert recognize(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "table", "lost", "first"),
    [
        ("bus_uclm", "INFO.csv", ["images/ALWI_001.png", "images/CAWI_000.png"], "images/ALWI_001.png"),
        ("bus_bra", "bus_data.csv", ["Images/bus_0002-s.png", "Masks/mask_0001-r.png"], "Masks/mask_0001-r.png"),
        (
            "breast",
            "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
            ["BrEaST-Lesions_USG-images_and_masks/case002_tumor2.png"],
            "case002_tumor2.png",
        ),
        ("udiat", "DatasetB.xlsx", ["original/000014.png"], "original/000014.png"),
        (
            "cbis_ddsm",
            "mass_case_description_train_set.csv",
            [
                "CBIS-DDSM/Mass-Training_P_00004_LEFT_CC/08-07-2016/1-1.dcm",
                "CBIS-DDSM/Mass-Training_P_00005_LEFT_CC_1/08-07-2016/1-2.dcm",
            ],
            "CBIS-DDSM/Mass-Training_P_00004_LEFT_CC/1.3/1.4/000000.dcm",
        ),
        (
            "inbreast",
            "INbreast.csv",
            ["AllDICOMs/20586986_03fab0_MG_R_CC_ANON.dcm"],
            "AllDICOMs/20586986_*.dcm",
        ),
    ],
)
def test_half_a_download_is_named(layouts: Layouts, name: str, table: str, lost: list[str], first: str) -> None:
    folder = layouts[name]()
    for path in lost:
        (folder / path).unlink()
    with raises_user_error(len(lost), first, path=folder / table):
        find_set(name).read(folder)


@pytest.mark.parametrize(
    ("name", "lost", "where", "kind", "first"),
    [
        ("plain_folder", "c.png", "", "masks", "c_mask.png"),
        ("plain_folder", "a_mask.png", "", "images", "a.png"),
        ("stu_hospital", "Hospital/mask_2.png", "Hospital", "images", "Test_Image_2.png"),
        ("stu_hospital", "Hospital/Test_Image_2.png", "Hospital", "masks", "mask_2.png"),
        ("udiat", "GT/000014.png", "", "images", "000014.png"),
        ("bus_uclm", "masks/CAWI_000.png", "", "images", "CAWI_000.png"),
    ],
)
def test_a_lone_image_or_mask_is_named(
    layouts: Layouts, name: str, lost: str, where: str, kind: str, first: str
) -> None:
    folder = layouts[name]()
    (folder / lost).unlink()
    with raises_user_error(kind, 1, first, path=folder / where):
        find_set(name).read(folder)


def test_a_wrong_name_is_corrected() -> None:
    names = [published.name for published in PUBLISHED_SETS]
    for name, hint in (("BUS-BRA", "'bus_bra'"), ("busii", "'busi'"), ("x", "'x'")):
        with raises_user_error(name, hint, *names, key="data set"):
            find_set(name)


def test_every_set_says_what_it_is() -> None:
    for published in PUBLISHED_SETS:
        assert all((published.title, published.size, published.license, published.url, published.flaws))
        assert "doi 10." in published.citation or published.name in ("label_folder", "plain_folder")
