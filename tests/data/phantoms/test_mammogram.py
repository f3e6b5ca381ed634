"""Mammogram phantoms: texture as measured in life, masses as described, the same every time."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms import mammogram as mammo_phantoms
from bus_monai.data.phantoms.mammogram import (
    SHAPE_COUNTS,
    MammoPhantom,
    make_mammo_phantom,
    mammo_phantom_dataset,
    write_mammo_phantoms,
)
from bus_monai.data.readers.shapes import CLASS_OF_WORD, read_shape_table
from tests.user_errors import raises_user_error

SMALL = (128, 100)


@pytest.fixture(scope="module")
def many() -> list[MammoPhantom]:
    return [make_mammo_phantom(seed, SMALL) for seed in range(300)]


def test_same_seed_same_phantom() -> None:
    first, again, other = (make_mammo_phantom(seed, SMALL) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.image, again.image)
    assert [mass.box for mass in first.masses] == [mass.box for mass in again.masses]
    assert (first.image != other.image).any()


def test_one_to_three_masses_that_do_not_touch(many: list[MammoPhantom]) -> None:
    counts = Counter(len(phantom.masses) for phantom in many)
    assert set(counts) == {1, 2, 3}
    assert counts[1] / len(many) == pytest.approx(0.75, abs=0.06)
    for phantom in many:
        assert np.sum([mass.mask for mass in phantom.masses], axis=0).max() == 1


def test_shapes_have_the_shares_of_cbis_ddsm(many: list[MammoPhantom]) -> None:
    shapes = Counter(mass.shape for phantom in many for mass in phantom.masses)
    for shape, count in SHAPE_COUNTS.items():
        assert shapes[shape] / shapes.total() == pytest.approx(count / 1424, abs=0.05)


def test_irregular_masses_are_spiculated_and_others_circumscribed(many: list[MammoPhantom]) -> None:
    reach: dict[str, list[float]] = {"spiculated": [], "circumscribed": []}
    for phantom in many:
        for mass in phantom.masses:
            assert mass.margin == ("spiculated" if mass.shape == "irregular" else "circumscribed")
            reach[mass.margin].append(mass.attenuation[~binary_dilation(mass.mask, iterations=4)].max())
        assert phantom.diagnosis == ("malignant" if "irregular" in {m.shape for m in phantom.masses} else "benign")
    # what reaches out are the spicules
    assert max(reach["circumscribed"]) < 0.001
    assert np.mean(np.array(reach["spiculated"]) > 0.01) > 0.95


def test_boxes_enclose_masks(many: list[MammoPhantom]) -> None:
    for phantom in many[:50]:
        for mass in phantom.masses:
            inside = mass.mask[mass.box.slices]
            assert inside.sum() == mass.mask.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_masses_are_brighter_than_their_surroundings(many: list[MammoPhantom]) -> None:
    contrasts = []
    for phantom in many:
        masses = np.any([mass.mask for mass in phantom.masses], axis=0)
        for mass in phantom.masses:
            ring = binary_dilation(mass.mask, iterations=6) & ~binary_dilation(mass.mask, iterations=2) & ~masses
            contrasts.append((phantom.image[mass.mask].mean() - phantom.image[ring].mean()) / 255)
    assert min(contrasts) > 0
    assert 0.10 < np.median(contrasts) < 0.16
    # some are hard to see in a parenchyma whose standard deviation is 0.07
    assert np.mean(np.array(contrasts) < 0.07) > 0.02


def test_air_is_black_and_on_the_side_away_from_the_chest_wall(many: list[MammoPhantom]) -> None:
    assert Counter(phantom.laterality for phantom in many)["L"] / len(many) == pytest.approx(0.5, abs=0.08)
    for phantom in many:
        wall, air = (0, -1) if phantom.laterality == "L" else (-1, 0)
        assert not phantom.image[:, air].any()
        assert phantom.image[SMALL[0] // 2, wall] > 0
        assert not any(phantom.image[mass.mask].min() == 0 for mass in phantom.masses)


def test_too_small_is_said() -> None:
    with raises_user_error("64 x 63", 64):
        make_mammo_phantom(0, (64, 63))


def test_written_set_can_be_read_again(tmp_path: Path) -> None:
    folder = write_mammo_phantoms(tmp_path / "set", count=10, size=SMALL, seed=2)
    datalist = read_datalist(folder)
    assert datalist.synthetic
    assert {name: len(cases) for name, cases in datalist.sections()} == {"training": 5, "validation": 2, "test": 3}
    shapes = {(id, number): CLASS_OF_WORD[word] for id, number, word in read_shape_table(folder)}
    cases = {case.id: case for _, section in datalist.sections() for case in section}
    for i in range(10):
        case, phantom = cases[f"mammo_{i:04d}"], make_mammo_phantom(2_000_000 + i, SMALL)
        np.testing.assert_array_equal(np.asarray(Image.open(case.image)), phantom.image)
        assert case.diagnosis == phantom.diagnosis
        assert len(case.masks) == len(phantom.masses)
        for number, (path, mass) in enumerate(zip(case.masks, phantom.masses, strict=True), start=1):
            np.testing.assert_array_equal(np.asarray(Image.open(path)) > 0, mass.mask)
            assert shapes[case.id, number] == mass.shape


def test_table_of_shapes_has_the_columns_of_cbis_ddsm(tmp_path: Path) -> None:
    folder = write_mammo_phantoms(tmp_path / "set", count=3, size=(64, 64))
    with (folder / "mass_shapes.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "mass", "shape"]
    assert rows[1][:2] == ["mammo_0000", "1"]
    assert {row[2] for row in rows[1:]} <= {"IRREGULAR", "LOBULATED", "OVAL", "ROUND"}


def test_cached_set_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    first = mammo_phantom_dataset(count=3, size=(64, 64))
    monkeypatch.setattr(mammo_phantoms, "write_mammo_phantoms", None)
    assert mammo_phantom_dataset(count=3, size=(64, 64)) == first
    assert first.parent == tmp_path
