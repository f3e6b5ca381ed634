"""MONAI's dataset.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.readers.monai_datalist import read_monai_datalist
from bus_monai.errors import UserError
from tests.published_layouts import noise, save, square


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
    ("item", "message"),
    [
        ({"image": "../a.png"}, "refers to '../a.png' outside of its folder: move the file into it."),
        ({"label": "a.nii.gz"}, "refers to 'a.nii.gz', which is no PNG or JPEG: convert it."),
        ({"label": "x.png"}, "lists files that are missing (1, the first is 'x.png'): complete the download."),
        ({"image": "imagesTr/b.png"}, "has two images with the id 'b': rename one."),
    ],
)
def test_what_is_wrong_is_named(folder: Path, item: dict[str, str], message: str) -> None:
    change(folder, **item)
    with pytest.raises(UserError) as error:
        read_monai_datalist(folder)
    assert str(error.value) == f"'{folder / 'dataset.json'}' {message}"
