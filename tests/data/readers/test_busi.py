"""BUSI: the published layout, generated and real."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.near_duplicates import group_near_duplicates
from bus_monai.data.readers.busi import read_busi
from bus_monai.transforms.load import LoadMasksd, LoadUltrasoundd
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


def test_published_layout(folder: Path) -> None:
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


def test_another_folder_is_refused(tmp_path: Path) -> None:
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


def test_real_images(shared: Path) -> None:
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


def test_real_protocol(shared: Path) -> None:
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
