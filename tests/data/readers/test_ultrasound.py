"""BUSI, BUS-UCLM, UDIAT and STU-Hospital: published layouts, generated and real."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.near_duplicates import group_near_duplicates
from bus_monai.data.readers.ultrasound import (
    is_bus_uclm,
    read_bus_uclm,
    read_busi,
    read_stu_hospital,
    read_udiat,
    write_bus_uclm_case,
    write_stu_hospital_case,
)
from bus_monai.transforms.load import LoadMasksd, LoadUltrasoundd
from tests.published_layouts import square
from tests.user_errors import raises_user_error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images with gaps in the numbering, two masks, an RGBA mask, a color image, a normal one without mask."""
    rng = np.random.default_rng(0)
    for name, mode in (("benign (2)", "L"), ("benign (10)", "RGB"), ("malignant (7)", "L"), ("normal (3)", "L")):
        path = tmp_path / name.split()[0] / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).convert(mode).save(path)
    masks = {"benign (2)_mask": "L", "benign (2)_mask_1": "1", "benign (10)_mask": "RGBA", "malignant (7)_mask": "RGB"}
    for i, (name, mode) in enumerate(masks.items()):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 * i : 5 * i + 4] = 255
        Image.fromarray(mask).convert(mode).save(tmp_path / name.split()[0] / f"{name}.png")
    return tmp_path


def test_busi_as_published(folder: Path) -> None:
    cases = {case.id: case for case in read_busi(folder)}
    assert list(cases) == ["benign_2", "benign_10", "malignant_7", "normal_3"]
    assert [path.name for path in cases["benign_2"].masks] == ["benign (2)_mask.png", "benign (2)_mask_1.png"]
    assert cases["normal_3"].masks == ()
    assert len({case.group for case in cases.values()}) == 4


def test_an_image_without_mask_is_named(folder: Path) -> None:
    (folder / "malignant" / "malignant (7)_mask.png").unlink()
    with raises_user_error("malignant (7)_mask.png", path=folder / "malignant" / "malignant (7).png"):
        read_busi(folder)


def test_a_mask_without_image_is_named(folder: Path) -> None:
    (folder / "benign" / "benign (2).png").unlink()
    with raises_user_error(2, "benign (2)_mask.png", path=folder / "benign"):
        read_busi(folder)


def test_a_folder_that_is_no_busi_is_refused(tmp_path: Path) -> None:
    with raises_user_error("BUSI", "benign/", "malignant/", "normal/", path=tmp_path):
        read_busi(tmp_path)


def test_equal_similar_and_known_images_share_a_group(folder: Path) -> None:
    benign, malignant = folder / "benign", folder / "malignant"
    shutil.copy(benign / "benign (2).png", malignant / "malignant (8).png")
    shutil.copy(benign / "benign (2)_mask.png", malignant / "malignant (8)_mask.png")
    similar = np.asarray(Image.open(benign / "benign (10).png").convert("L")).astype(float) * 0.8 + 20
    Image.fromarray(similar.astype(np.uint8)).resize((100, 80)).save(benign / "benign (11).png")
    Image.fromarray(np.zeros((80, 100), np.uint8)).save(benign / "benign (11)_mask.png")
    (folder / "near_duplicates.csv").write_text("group,image\n1,normal/normal (3).png\n1,malignant/malignant (7).png\n")
    groups = defaultdict(set)
    for case in read_busi(folder):
        groups[case.group].add(case.id)
    assert sorted(map(sorted, groups.values())) == [
        ["benign_10", "benign_11"], ["benign_2", "malignant_8"], ["malignant_7", "normal_3"],
    ]  # fmt: skip


def test_real_images_of_busi(shared: Path) -> None:
    folder = shared / "data" / "busi"
    cases = read_busi(folder)
    assert Counter(case.diagnosis for case in cases) == {"benign": 352, "malignant": 167, "normal": 105}
    several = [case for case in cases if len(case.masks) > 1]
    assert len(several) == 11
    group_of = {f"{case.diagnosis}/{case.image.name}": case.group for case in cases}
    with (folder / "near_duplicates.csv").open() as file:
        known = defaultdict(set)
        for row in csv.DictReader(file):
            known[row["group"]].add(group_of[row["image"]])
    assert all(len(groups) == 1 for groups in known.values())

    for case in several[:4]:
        item = {"image": str(case.image), "masks": [str(mask) for mask in case.masks]}
        label = LoadMasksd()(LoadUltrasoundd("image")(item))["label"]
        expected = np.any([np.asarray(Image.open(m).convert("RGB")).any(axis=-1) for m in case.masks], axis=0)
        np.testing.assert_array_equal(label[0] > 0, expected)


def test_real_groups_are_found_without_the_list(shared: Path) -> None:
    """The images alone tell 98 of 100 groups that the list names."""
    folder = shared / "data" / "busi"
    with (folder / "near_duplicates.csv").open() as file:
        rows = list(csv.DictReader(file))
    groups = group_near_duplicates([folder / row["image"] for row in rows])
    of_known = defaultdict(set)
    for row, group in zip(rows, groups, strict=True):
        of_known[row["group"]].add(group)
    assert np.mean([len(found) == 1 for found in of_known.values()]) >= 0.98


LOOKED_AT = """
    benign_9 benign_326, benign_11 benign_328, benign_14 benign_331, benign_64 benign_141, benign_94 benign_108,
    benign_125 benign_126, benign_213 benign_253, benign_214 benign_260, benign_220 benign_271, benign_230 benign_252,
    benign_237 benign_264, malignant_77 malignant_78, benign_406 malignant_94, malignant_4 malignant_6,
    malignant_27 malignant_28, malignant_65 malignant_66, malignant_80 malignant_81, malignant_85 malignant_86
"""
"""Pairs of one scene that the list lacks, as one sees when they lie side by side."""


def test_real_pairs_that_the_list_lacks_share_a_group(shared: Path) -> None:
    group_of = {case.id: case.group for case in read_busi(shared / "data" / "busi")}
    for pair in LOOKED_AT.split(","):
        one, other = pair.split()
        assert group_of[one] == group_of[other]
    sizes = Counter(Counter(group_of.values()).values())
    assert sum(count for size, count in sizes.items() if size > 1) == 118
    assert max(sizes) == 6


def test_real_protocol_of_busi(shared: Path) -> None:
    datalist = load_dataset(shared / "data" / "busi", protocol="rdau", seed=0)
    sizes = {name: len(cases) for name, cases in datalist.sections()}
    assert sum(sizes.values()) == 519
    for name, share in (("training", 538 / 645), ("validation", 50 / 645), ("test", 57 / 645)):
        assert sizes[name] / 519 == pytest.approx(share, abs=0.01)
    homes = defaultdict(set)
    for name, cases in datalist.sections():
        for case in cases:
            homes[case.group].add(name)
    assert all(len(names) == 1 for names in homes.values())
    check_dataset(datalist, sections=["training", "validation", "test"])


def test_colors_tell_the_diagnosis_without_table(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    assert [case.diagnosis for case in read_bus_uclm(folder)] == ["benign", "normal", "malignant", "benign"]


def test_colors_tell_the_set_without_table_but_gray_masks_do_not(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    assert is_bus_uclm(folder)
    for mask in (folder / "masks").iterdir():
        Image.open(mask).convert("L").save(mask)
    assert not is_bus_uclm(folder)


def test_a_broken_colored_mask_is_named(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    mask = folder / "masks" / "ALWI_000.png"
    for broken in (mask.read_bytes()[:-1], b"\x89PNG"):
        mask.write_bytes(broken)
        with raises_user_error(path=mask):
            read_bus_uclm(folder)


def test_masks_are_written_without_colors(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True)
    for case in read_bus_uclm(layouts["bus_uclm"]()):
        written = write_bus_uclm_case(case, out)
        assert written.image == out / "images" / f"{case.id}.png"
        assert written.image.read_bytes() == case.image.read_bytes()
        with Image.open(written.masks[0]) as mask, Image.open(case.masks[0]) as colored:
            assert mask.mode == "L"
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(colored).any(axis=-1) * 255)


def test_a_table_without_labels_is_named(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").write_text("Image,Label\nALWI_000.png,Benign\n")
    with raises_user_error(path=folder / "INFO.csv", key="Image"):
        read_bus_uclm(folder)


def test_real_images_of_bus_uclm(shared: Path) -> None:
    folder = shared / "data" / "bus_uclm"
    cases = read_bus_uclm(folder)
    assert Counter(case.diagnosis for case in cases) == {"benign": 56, "malignant": 39, "normal": 116}
    assert len({case.group for case in cases}) == 13
    datalist = load_dataset(folder, protocol="rdau")
    assert sum(len(part) for _, part in datalist.sections()) == 95
    patients = [{case.group for case in part} for _, part in datalist.sections()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    check_dataset(datalist, sections=["training", "validation", "test"])


def test_udiat_with_classes_in_folders(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["udiat"]()
    (folder / "DatasetB.xlsx").unlink()
    for part in ("original", "GT"):
        for kind, names in (("benign", ("000001", "000003")), ("malignant", ("000002", "000014"))):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.move(folder / part / f"{name}.png", folder / kind / part)
        (folder / part).rmdir()
    assert {case.id: case.diagnosis for case in read_udiat(folder)} == {
        "000001": "benign",
        "000003": "benign",
        "000002": "malignant",
        "000014": "malignant",
    }


def test_udiat_without_classes_and_with_a_duplicate(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["udiat"]()
    (folder / "DatasetB.xlsx").unlink()
    shutil.copy(folder / "original" / "000001.png", folder / "original" / "000014.png")
    assert [(case.diagnosis, case.group) for case in read_udiat(folder)] == [
        ("unknown", "000001"),
        ("unknown", "000002"),
        ("unknown", "000003"),
        ("unknown", "000001"),
    ]


def test_masks_fit_their_images(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    case = read_stu_hospital(layouts["stu_hospital"]())[2]
    published = np.asarray(Image.open(case.masks[0]))
    assert published.shape == tuple(3 * side for side in square().shape)
    assert len(np.unique(published)) > 2
    written = write_stu_hospital_case(case, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(written.masks[0])), square())
    assert written.image.read_bytes() == case.image.read_bytes()
