"""Folders of people's own, and MONAI's dataset.json."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.data.dataset import check_dataset, load_dataset, prepare_dataset
from bus_monai.data.label_exchange import import_masks
from bus_monai.data.readers.catalog import recognize
from bus_monai.data.readers.folder import case_id
from bus_monai.data.readers.own_images import list_labels, read_label_folder, read_monai_datalist, read_plain_folder
from bus_monai.data.readers.shapes import read_shape_table
from bus_monai.io.image import read_masks
from bus_monai.sources.read import read_source
from tests.data.label_folder import write_pictures, write_scans
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


def write_meta(folder: Path, *rows: str) -> None:
    (folder / "meta.csv").write_text("\n".join(rows) + "\n")


def test_a_table_names_patients_diagnoses_and_shapes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "RAW" / "images" / f"{name}.png", noise(name))
        save(tmp_path / "RAW" / "masks" / f"{name}.png", square())
    save(tmp_path / "RAW" / "masks" / "c_mask_1.png", square())
    rows = ("a.png,P_2,MALIGNANT,irregular", "b.png,P_1,BENIGN,Lobular", "c.png,P_2,,oval")
    write_meta(tmp_path / "RAW", "file,patient,pathology,shape", *rows)
    cases = read_plain_folder(tmp_path / "RAW")
    assert [(case.id, case.group, case.diagnosis) for case in cases] == [
        ("a", "patient_P_2", "malignant"),
        ("b", "patient_P_1", "benign"),
        ("c", "patient_P_2", "unknown"),
    ]
    prepare_dataset("plain_folder", tmp_path / "RAW", tmp_path / "set", protocol="all_train")
    masses = [("a", 1, "IRREGULAR"), ("b", 1, "LOBULATED"), ("c", 1, "NA"), ("c", 2, "NA")]
    assert read_shape_table(tmp_path / "set") == masses
    write_meta(tmp_path / "RAW", "file,patient", "a.png,P_2", "b.png,P_1", "c.png,P_2")
    assert {case.diagnosis for case in read_plain_folder(tmp_path / "RAW")} == {"unknown"}
    prepare_dataset("plain_folder", tmp_path / "RAW", tmp_path / "unshaped", protocol="all_train")
    assert not (tmp_path / "unshaped" / "mass_shapes.csv").exists()


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["file,person", "a.png,P_1", "b.png,P_1"], ["patient"]),
        (["file,patient", "a.png,P_1"], ["'b.png'"]),
        (["file,patient", "a.png,P_1", "b.png,"], ["'b.png'"]),
        (["file,patient", "a.png,P_1", "b.png,P_1", "a.png,P_2"], ["'a.png'", "twice"]),
    ],
)
def test_a_table_that_leaves_a_patient_open_is_refused(tmp_path: Path, rows: list[str], named: list[str]) -> None:
    for name in ("a", "b"):
        save(tmp_path / "images" / f"{name}.png", noise(name))
        save(tmp_path / "masks" / f"{name}.png", square())
    write_meta(tmp_path, *rows)
    with raises_user_error(*named, path=tmp_path / "meta.csv"):
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


def test_a_label_folder_is_a_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_pictures(tmp_path / "pictures")
    published = recognize(folder)
    assert published is not None
    assert published.name == "label_folder"
    with caplog.at_level(logging.WARNING, "bus_monai"):
        cases = {case.group: case for case in read_label_folder(folder)}
    assert "3 images" in caplog.text
    assert {group: (case.diagnosis, len(case.masks)) for group, case in cases.items()} == {
        "a": ("benign", 1), "d": ("malignant", 1), "sub/b c": ("normal", 0),
    }  # fmt: skip
    for one in list_labels(folder):
        case = cases[one.name]
        assert case.image == one.image
        assert (read_masks(case.masks, (60, 80)) == (one.read()[0] > 0)).all()
    datalist = load_dataset(folder, protocol="all_train")
    assert [case.id for case in datalist.training] == sorted(case.id for case in cases.values())
    check_dataset(datalist, sections=["training"])


def test_frames_of_a_cine_are_cases_of_one_patient(tmp_path: Path) -> None:
    cases = read_label_folder(write_scans(tmp_path / "scans"))
    found = {case.id: case for case in cases}
    assert list(found) == ["examples_rgb_color", "examples_ybr_color_frame000", "examples_ybr_color_frame002", "n"]
    cine = [found[f"examples_ybr_color_frame00{number}"] for number in (0, 2)]
    assert len({case.group for case in cine}) == 1
    # patients are told by a hash alone
    assert all(case.group.startswith("patient_") for case in cine)
    assert "204" not in cine[0].group.split("_")
    for case, count in zip(cine, (9 * 8, 20 * 20), strict=True):
        assert read_masks(case.masks, read_source(case.image).pixels.shape).sum() == count
    assert [case.image for case in read_label_folder(tmp_path / "scans")] == [case.image for case in cases]


def test_near_duplicates_and_patients_share_a_group(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path)
    copy = (folder / "a.png").read_bytes()
    (folder / "other").mkdir()
    (folder / "other" / "d.png").write_bytes(copy)
    label = folder / "labels" / "final" / "other" / "d.png"
    label.parent.mkdir()
    label.write_bytes((folder / "labels" / "final" / "d.png").read_bytes())
    groups = {case.image.relative_to(folder).as_posix(): case.group for case in read_label_folder(folder)}
    # not by their names, of which two are d
    assert groups == {"a.png": "a", "d.png": "d", "other/d.png": "a", "sub/b c.png": "sub/b c"}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"objects": []}', '{"objects": {"a": 1}}', '{"objects": {"a": {"labels": {"final": []}}}}']
)
def test_a_list_of_somebody_else_breaks_nothing(tmp_path: Path, content: str) -> None:
    folder = write_pictures(tmp_path)
    (folder / "datastore_v2.json").write_text(content)
    if content == "{":
        with raises_user_error(path=folder / "datastore_v2.json"):
            list_labels(folder)
        return
    assert [one.fields for one in list_labels(folder)] == [{}] * 3
    assert not any(one.is_accepted for one in list_labels(folder))


@pytest.mark.parametrize(("one", "other"), [("d.dcm", "d.png"), ("sub/b c.nii.gz", "sub/b c.png")])
def test_two_images_of_which_a_label_may_be_are_named(tmp_path: Path, one: str, other: str) -> None:
    folder = write_pictures(tmp_path)
    (folder / one).write_bytes((folder / other).read_bytes())
    name = Path(other).name
    for read in (list_labels, read_label_folder, lambda folder: import_masks(tmp_path, folder)):
        with raises_user_error(f"'{name}'", f"'{other.removesuffix('.png')}'", path=folder / one):
            read(folder)


def test_labels_without_image_or_none_at_all(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path)
    (folder / "a.png").unlink()
    with raises_user_error("'a'", key=None):
        list_labels(folder)
    with raises_user_error(path=folder):
        list_labels(folder, "original")
