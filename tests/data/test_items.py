"""One item per mass, each with all masks of its image and the box of its own."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.data.datalist import Case, Datalist, read_datalist
from bus_monai.data.dataset import load_dataset, prepare_dataset
from bus_monai.data.items import (
    boxed_items,
    case_and_number,
    crop_items,
    inference_items,
    mass_id,
    mass_items,
    masses_of_folder,
    section_crops,
    shape_weights,
    write_empty_masks,
)
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.data.readers.mammography import read_masses, write_mass_shapes
from bus_monai.data.readers.shapes import read_shape_table, write_shape_table
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.transforms.crop import CROP_KINDS
from tests import published_layouts
from tests.user_errors import raises_user_error


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """One image with two masses, one without any."""
    masks = []
    for number, (rows, columns) in enumerate(((slice(2, 5), slice(7, 8)), (slice(0, 20), slice(1, 30))), start=1):
        mask = np.zeros((20, 30), dtype=np.uint8)
        mask[rows, columns] = 255
        masks.append(tmp_path / f"mask{number}.png")
        Image.fromarray(mask).save(masks[-1])
    image = tmp_path / "image.png"
    return [Case("a", image, tuple(masks), "woman", "malignant"), Case("b", image, (), "other", "normal")]


def test_one_item_a_mass(cases: list[Case]) -> None:
    first, second = crop_items(cases, "loose")
    assert (first["id"], second["id"]) == ("a_m1", "a_m2")
    assert first["box"].tolist() == [2, 7, 5, 8]
    assert second["box"].tolist() == [0, 1, 20, 30]
    assert (first["lesion_px"], second["lesion_px"]) == (3, 580)
    assert first["masks"] == second["masks"] == [str(mask) for mask in cases[0].masks]
    assert first["group"] == second["group"] == "woman"


def test_one_item_an_image_without_boxes(cases: list[Case]) -> None:
    items = crop_items(cases, "full")
    assert [item["id"] for item in items] == ["a", "b"]
    assert all("box" not in item for item in items)


def test_what_is_wrong_is_said(cases: list[Case]) -> None:
    with raises_user_error(1, "full", key="box"):
        crop_items(cases[1:], "tight")
    mask = cases[0].masks[1]
    Image.fromarray(np.zeros((20, 30), dtype=np.uint8)).save(mask)
    with raises_user_error(path=mask):
        crop_items(cases, "loose")
    assert crop_items([], "loose") == []
    with raises_user_error("lesion", *CROP_KINDS, key="box"):
        crop_items(cases, "lesion")


@pytest.mark.parametrize("diagnosis", ["normal", "unknown"])
def test_a_black_mask_of_an_image_without_lesion_is_no_crop(cases: list[Case], diagnosis: str, tmp_path: Path) -> None:
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((20, 30), dtype=np.uint8)).save(black)
    empty = Case("c", tmp_path / "image.png", (black,), "c", diagnosis)  # type: ignore[arg-type]
    assert [item["id"] for item in crop_items([empty, *cases], "loose")] == ["a_m1", "a_m2"]
    datalist = Datalist(training=[*cases, empty], unlabeled=[empty, *cases])
    assert [item["id"] for item in section_crops(datalist, "training", "lesion_crops")] == ["a_m1", "a_m2"]
    # nobody knows of an unlabeled one where its lesion is: whole
    items = section_crops(datalist, "unlabeled", "lesion_crops")
    assert [(item["id"], "box" in item) for item in items] == [
        ("c", False),
        ("a_m1", True),
        ("a_m2", True),
        ("b", False),
    ]
    assert [item["id"] for item in section_crops(datalist, "unlabeled", "full")] == ["c", "a", "b"]
    with raises_user_error(path=black):
        crop_items([replace(empty, diagnosis="benign")], "loose")


def test_real_masses_whose_numbers_begin_above_one(shared: Path, tmp_path: Path) -> None:
    """28 mammograms lack the mass of some number, seen in the other view: masks go by the order of the rows."""
    source = shared / "data" / "cbis_ddsm"
    write_mass_shapes(source, tmp_path)
    masses = read_masses(source)
    cases = {
        mass.image_id: tuple(Path(m.mask) for m in masses if m.image_id == mass.image_id)
        for mass in masses
        if mass.patient in ("P_00001", "P_00004", "P_00092", "P_00106")
    }
    items = mass_items(tmp_path, [Case(id, Path("x.png"), masks, "g", "unknown") for id, masks in cases.items()])
    wanted = {mass_id(mass.image_id, mass.number): mass for mass in masses if mass.image_id in cases}
    assert any(mass.number > len(cases[mass.image_id]) for mass in wanted.values())
    assert items
    for item in items:
        assert item["mask"] == str(Path(wanted[item["id"]].mask))


def test_breast_has_one_word_a_case(tmp_path: Path) -> None:
    prepare_dataset("breast", published_layouts.breast(tmp_path / "raw"), tmp_path / "out", protocol="multi_encoder")
    assert read_shape_table(tmp_path / "out") == [
        ("case001", 1, "OVAL"),
        ("case002", 1, "NA"),
        ("case002", 2, "NA"),
        ("case046", 1, "ROUND"),
    ]


def test_ultrasound_phantoms_know_their_shapes(small_phantoms: Path) -> None:
    cases = [case for _, section in read_datalist(small_phantoms).sections() for case in section]
    items = {item["id"]: item for item in mass_items(small_phantoms, cases)}
    for case in cases:
        shapes = make_phantom(3_000_000 + int(case.id[-4:]), (64, 64)).shapes
        assert len(shapes) == len(case.masks)
        for number, shape in enumerate(shapes, start=1):
            assert SHAPE_CLASSES[items.pop(mass_id(case.id, number))["label"]] == shape
    assert items == {}


def test_folds_of_a_prepared_folder_share_no_case(small_phantoms: Path) -> None:
    folds = [load_dataset(small_phantoms, protocol=f"kfold5:{k}") for k in range(5)]
    tested = [case.id for fold in folds for case in fold.test]
    assert sorted(tested) == sorted(c.id for _, section in read_datalist(small_phantoms).sections() for c in section)
    assert all(fold.synthetic for fold in folds)
    assert load_dataset(small_phantoms, protocol="rdau") == read_datalist(small_phantoms)


def test_weights_make_all_classes_count_alike() -> None:
    weights = shape_weights([{"label": label} for label in (0, 0, 0, 0, 1, 1, 2, 3)])
    assert torch.equal(weights, torch.tensor([0.5, 1.0, 2.0, 2.0]))


def test_id_and_back() -> None:
    assert case_and_number(mass_id("a_m3_b", 12)) == ("a_m3_b", 12)


def test_masks_of_one_stem_keep_their_suffix(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b_mask.png"):
        Image.fromarray(np.pad(np.full((12, 12), 255, dtype=np.uint8), 8)).save(tmp_path / name)
    assert [item["id"] for item in masses_of_folder(tmp_path)] == ["a.jpg_m1", "a.png_m1", "b_mask_m1"]


@pytest.mark.parametrize(
    ("files", "named"), [((), ["PNG", "JPEG", "NIfTI", "DICOM", "dataset_dir"]), (("a.png",), [1])]
)
def test_nothing_to_classify(files: tuple[str, ...], named: list[object], tmp_path: Path) -> None:
    for name in files:
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / name)
    with raises_user_error(*named, path=tmp_path):
        masses_of_folder(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "deep/b.jpg", "deep/c.png", "c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 12), 100, np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def table(folder: Path, *lines: str, header: str = "id,score,top,left,bottom,right") -> Path:
    path = folder.parent / "boxes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_one_item_a_box_by_any_name(folder: Path) -> None:
    images = inference_items(folder, folder.parent / "out")
    lines = ["b,0.9,1,2,3,4", "deep/c.png,0.8,0,0,9,12", "b.jpg,0.7,5,6,7,8", "deep/b.jpg,0.6,1,1,2,2"]
    boxed = boxed_items(images, folder, table(folder, *lines))
    assert [Path(item["image"]).name for item in boxed] == ["b.jpg", "b.jpg", "b.jpg", "c.png"]
    assert [item["box"].tolist() for item in boxed] == [[1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 2, 2], [0, 0, 9, 12]]
    assert [item["merge"] for item in boxed] == [False, True, True, False]
    files = table(folder, "1,2,3,4,a.png", header="top,left,bottom,right,file")
    assert [item["box"].tolist() for item in boxed_items(images, folder, files)] == [[1, 2, 3, 4]]


def test_our_own_tables_name_images_below_the_folder(folder: Path) -> None:
    """As ``mass_detection`` names them, and ``masses.csv`` the frames of a cine."""
    shutil.copy(str(get_testdata_file("examples_ybr_color.dcm")), folder / "deep" / "cine.dcm")
    images = inference_items(folder, folder.parent / "out")
    lines = ["deep/b,1,2,3,4", "deep/cine.dcm#1,1,1,2,2"]
    boxed = boxed_items(images, folder, table(folder, *lines, header="id,top,left,bottom,right"))
    assert [(Path(item["source"]).name, item["frame"]) for item in boxed] == [("b.jpg", 0), ("cine.dcm", 1)]


def test_a_relative_folder_and_a_link_hold_the_same_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"source": str(folder / "deep" / "b.jpg"), "frame": 0, "output": "b_mask.png"}]
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder, target_is_directory=True)
    for name in ("in", "link"):
        (item,) = boxed_items(items, name, table(folder, "deep/b.jpg,0.9,1,2,3,4"))
        assert item["box"].tolist() == [1, 2, 3, 4]


def test_masks_of_one_name_belong_to_no_case(tmp_path: Path) -> None:
    cases = []
    for patient in ("p1", "p2"):
        for part in (tmp_path / "set" / patient, tmp_path / "masks" / patient):
            part.mkdir(parents=True)
        Image.fromarray(np.full((9, 12), 255, np.uint8)).save(tmp_path / "masks" / patient / "CC_mask.png")
        image = tmp_path / "set" / patient / "CC.png"
        cases.append(Case(f"{patient}_CC", image, (image,), patient, "benign"))
    write_shape_table(tmp_path / "set", [(case.id, 1, "OVAL") for case in cases])
    with raises_user_error(2, "'CC_mask.png'", "'p1_CC'", path=tmp_path / "masks"):
        mass_items(tmp_path / "set", cases, masks=tmp_path / "masks")


def test_images_without_a_box_get_an_empty_mask(folder: Path) -> None:
    out = folder.parent / "out"
    images = inference_items(folder, out)
    write_empty_masks(images, boxed_items(images, folder, table(folder, "b,0.9,1,2,3,4")))
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["a_mask.png", "c_mask.png", "deep/c_mask.png"]
    mask = np.asarray(Image.open(out / "a_mask.png"))
    assert mask.shape == (9, 12)
    assert not mask.any()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("x,1,1,2,3,4", ["'x'"]),
        ("c,1,1,2,3,4", ["'c'", 2]),
        ("a,1,1,2,x,4", ["(1, 2, x, 4)"]),
        ("a,1,3,2,3,4", ["(3, 2, 3, 4)"]),
    ],
)
def test_a_wrong_line_is_named(line: str, named: list[object], folder: Path) -> None:
    path = table(folder, line)
    with raises_user_error("Line 2", *named, path=path):
        boxed_items(inference_items(folder, folder.parent / "out"), folder, path)


def test_a_wrong_table_is_named(folder: Path) -> None:
    images = inference_items(folder, folder.parent / "out")
    path = table(folder, header="name,top,left,bottom")
    with raises_user_error("id", "file", "image", "right", path=path):
        boxed_items(images, folder, path)
    path.unlink()
    with raises_user_error(os.strerror(errno.ENOENT), path=path):
        boxed_items(images, folder, path)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), max_size=30))
def test_weights_make_all_shapes_count_alike(more: list[int]) -> None:
    true = [0, 1, 2, 3, *more]
    weights = shape_weights([{"label": label} for label in true]).tolist()
    assert [weights[c] * true.count(c) for c in range(4)] == pytest.approx([len(true) / 4] * 4)
