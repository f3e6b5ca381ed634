"""MONAI's dataset.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.readers.monai_datalist import read_monai_datalist
from tests.published_layouts import noise, save, square
from tests.user_errors import raises_user_error


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
