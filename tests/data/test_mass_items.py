"""One item a mass: real tables, BrEaST, both kinds of phantoms, folds of a prepared folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bus_monai.data.case import Case
from bus_monai.data.datalist import read_datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.data.mass_items import case_and_number, mass_id, mass_items, shape_weights
from bus_monai.data.phantoms import make_phantom
from bus_monai.data.prepare import prepare_dataset
from bus_monai.data.readers.cbis_ddsm import read_masses, write_mass_shapes
from bus_monai.data.readers.shape_table import read_shape_table
from bus_monai.inference.masses_of_folder import masses_of_folder
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from tests import published_layouts


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
        Image.fromarray(np.full((8, 8), 255, dtype=np.uint8)).save(tmp_path / name)
    assert [item["id"] for item in masses_of_folder(tmp_path)] == ["a.jpg_m1", "a.png_m1", "b_mask_m1"]


@pytest.mark.parametrize(
    ("files", "message"),
    [((), "holds no PNG, JPEG, NIfTI or DICOM file"), (("a.png",), "The 1 masks in '.*' are empty: there is no mass")],
)
def test_nothing_to_classify(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    for name in files:
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / name)
    with pytest.raises(Exception, match=message):
        masses_of_folder(tmp_path)
