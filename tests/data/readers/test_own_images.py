"""Folders of people's own, and MONAI's dataset.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.readers.catalog import recognize
from bus_monai.data.readers.folder import case_id
from bus_monai.data.readers.own_images import read_monai_datalist, read_plain_folder
from tests.published_layouts import noise, save, square
from tests.user_errors import raises_user_error


@given(st.text())
def test_any_name_gives_an_id(stem: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", case_id(stem))


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.-])?", fullmatch=True))
def test_a_good_name_is_kept(stem: str) -> None:
    assert case_id(stem) == stem


def test_two_folders(tmp_path: Path) -> None:
    for name in ("CASE_001", "CASE_002", "x_mask"):
        save(tmp_path / "images" / f"{name}.jpg", noise(name))
        save(tmp_path / "masks" / f"{name}.png", square())
    save(tmp_path / "masks" / "CASE_002_mask_1.png", square())
    (tmp_path / "images" / ".hidden.png").touch()
    assert recognize(tmp_path).name == "plain_folder"  # type: ignore[union-attr]
    cases = read_plain_folder(tmp_path)
    assert [(case.id, [mask.name for mask in case.masks]) for case in cases] == [
        ("CASE_001", ["CASE_001.png"]),
        ("CASE_002", ["CASE_002.png", "CASE_002_mask_1.png"]),
        ("x_mask", ["x_mask.png"]),
    ]


def test_two_images_with_the_same_id_are_named(tmp_path: Path) -> None:
    for name in ("a 1", "a_1"):
        save(tmp_path / f"{name}.png", noise(name))
        save(tmp_path / f"{name}_mask.png", square())
    with raises_user_error("'a_1.png'", "'a_1'", path=tmp_path / "a 1.png"):
        read_plain_folder(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    items = []
    for name in ("a", "b", "c d"):
        save(tmp_path / "imagesTr" / f"{name}.png", noise(name))
        save(tmp_path / "labelsTr" / f"{name}.png", square())
        items.append({"image": f"./imagesTr/{name}.png", "label": f"./labelsTr/{name}.png"})
    content = {"training": items[:2], "validation": items[2:], "test": ["./imagesTs/x.png"]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def change(folder: Path, **item: str) -> None:
    content = json.loads((folder / "dataset.json").read_text())
    content["training"][0] |= item
    (folder / "dataset.json").write_text(json.dumps(content))


def test_items_with_labels_are_cases(folder: Path) -> None:
    cases = read_monai_datalist(folder)
    assert [case.id for case in cases] == ["a", "b", "c_d"]
    assert [case.masks for case in cases] == [((folder / "labelsTr" / f"{n}.png"),) for n in ("a", "b", "c d")]
    datalist = load_dataset(folder, protocol="rdau")
    check_dataset(datalist, sections=[name for name, _ in datalist.sections()])


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ({"image": "../a.png"}, ["../a.png", "outside"]),
        ({"label": "a.nii.gz"}, ["a.nii.gz", "PNG", "JPEG"]),
        ({"label": "x.png"}, ["x.png", 1]),
        ({"image": "imagesTr/b.png"}, ["'b'"]),
    ],
)
def test_what_is_wrong_is_named(folder: Path, item: dict[str, str], named: list[object]) -> None:
    change(folder, **item)
    with raises_user_error(*named, path=folder / "dataset.json"):
        read_monai_datalist(folder)
