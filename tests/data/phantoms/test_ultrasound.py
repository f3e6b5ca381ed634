"""Phantoms: speckle as theory says, lesions as described, the same every time."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation
from scipy.stats import kstest
from skimage.measure import label

from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms import ultrasound as phantoms
from bus_monai.data.phantoms.ultrasound import (
    AXIAL_SIGMA,
    LATERAL_SIGMA,
    Phantom,
    b_mode,
    make_phantom,
    phantom_dataset,
    speckle_envelope,
    write_phantoms,
)
from tests.user_errors import raises_user_error

RAYLEIGH_SNR = math.sqrt(math.pi / (4 - math.pi))
"""Mean by standard deviation of fully developed speckle: 1.91."""


@pytest.fixture(scope="module")
def many() -> list[Phantom]:
    return [make_phantom(seed, (128, 128)) for seed in range(300)]


@pytest.fixture(scope="module")
def homogeneous() -> np.ndarray:
    return speckle_envelope(np.ones((1500, 1500), np.float32), np.random.default_rng(0))


def test_speckle_snr_is_that_of_fully_developed_speckle(homogeneous: np.ndarray) -> None:
    assert homogeneous.mean() / homogeneous.std() == pytest.approx(RAYLEIGH_SNR, rel=0.01)
    assert float((homogeneous.astype(np.float64) ** 2).mean()) == pytest.approx(2, rel=0.03)


def test_envelope_is_rayleigh_distributed(homogeneous: np.ndarray) -> None:
    apart = homogeneous[::12, ::24].ravel()  # further apart than the point-spread function reaches
    assert kstest(apart / np.sqrt((apart**2).mean() / 2), "rayleigh").pvalue > 0.01


def test_speckle_is_longer_across_than_along_the_beam(homogeneous: np.ndarray) -> None:
    """The envelope of Gaussian filtered noise: correlation lengths go with the widths of the filter."""

    def correlation(axis: int, lag: int) -> float:
        a, b = np.split(homogeneous, [-lag], axis)[0], np.split(homogeneous, [lag], axis)[1]
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert correlation(0, 2) < correlation(1, 2)
    assert correlation(1, round(2 * LATERAL_SIGMA / AXIAL_SIGMA)) == pytest.approx(correlation(0, 2), abs=0.05)


def test_snr_does_not_depend_on_the_amplitude() -> None:
    dark = speckle_envelope(np.full((800, 800), 0.03, np.float32), np.random.default_rng(1))
    assert dark.mean() / dark.std() == pytest.approx(RAYLEIGH_SNR, rel=0.02)


def test_the_same_seed_gives_the_same_phantom() -> None:
    one, two, other = make_phantom(5), make_phantom(5), make_phantom(6)
    assert np.array_equal(one.image, two.image)
    assert all(np.array_equal(a, b) for a, b in zip(one.masks, two.masks, strict=True))
    assert not np.array_equal(one.image, other.image)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(64, 160), st.integers(64, 160)))
def test_any_seed_and_size_give_a_whole_phantom(seed: int, size: tuple[int, int]) -> None:
    phantom = make_phantom(seed, size)
    assert phantom.image.dtype == np.uint8
    assert phantom.image.shape == size
    assert phantom.image.std() > 10
    assert len(phantom.masks) == len(phantom.shapes) <= 3
    for mask in phantom.masks:
        assert mask.dtype == bool
        assert mask.shape == size
        assert label(mask).max() == 1


def test_shares_of_normal_multiple_and_malignant_images(many: list[Phantom]) -> None:
    lesions = Counter(len(p.masks) for p in many)
    assert 0.05 < lesions[0] / len(many) < 0.16
    assert 0.09 < (lesions[2] + lesions[3]) / len(many) < 0.22
    assert 0.2 < sum(p.diagnosis == "malignant" for p in many) / len(many) < 0.45
    assert all((p.diagnosis == "normal") == (not p.masks) for p in many)


def test_masks_are_one_piece_inside_the_image_and_apart(many: list[Phantom]) -> None:
    for phantom in many:
        total = sum(mask.astype(int) for mask in phantom.masks)
        assert np.max(total, initial=0) <= 1
        for mask in phantom.masks:
            assert mask.shape == phantom.image.shape == (128, 128)
            assert 20 < mask.sum() < 0.25 * mask.size
            assert label(mask).max() == 1


def test_lesions_are_darker_than_what_is_around(many: list[Phantom]) -> None:
    contrasts = []
    for phantom in many:
        everything = np.any(phantom.masks, axis=0) if phantom.masks else None
        for mask in phantom.masks:
            ring = binary_dilation(mask, iterations=8) & ~binary_dilation(everything, iterations=3)
            contrasts.append(float(phantom.image[mask].mean()) - float(phantom.image[ring].mean()))
    assert np.mean(np.asarray(contrasts) < 0) > 0.95
    assert -80 < np.mean(contrasts) < -25


@pytest.mark.parametrize(("behind", "sign"), [(10.0, -1), (-8.0, 1)])
def test_what_attenuates_casts_a_shadow_and_what_does_not_enhances(behind: float, sign: int) -> None:
    attenuation = np.zeros((200, 200), np.float32)
    attenuation[60:100, 80:120] = behind / 40
    image = b_mode(np.zeros((200, 200), np.float32), attenuation, np.random.default_rng(0)).astype(float)
    difference = image[110:, 90:110].mean() - image[110:, :40].mean()
    assert sign * difference > 20


def test_malignant_lesions_shadow_and_benign_ones_enhance(many: list[Phantom]) -> None:
    """The strip below a lesion against the strips beside it at the same depth."""
    differences: dict[str, list[float]] = {"benign": [], "malignant": []}
    for phantom in many:
        if len(phantom.masks) != 1:
            continue
        mask, image = phantom.masks[0], phantom.image.astype(float)
        bottom, columns = np.flatnonzero(mask.any(axis=1))[-1], np.flatnonzero(mask.any(axis=0))
        left, right = columns[0], columns[-1] + 1
        below = image[bottom + 4 : bottom + 24]
        beside = np.concatenate([below[:, max(left - 20, 0) : max(left - 4, 0)], below[:, right + 4 : right + 20]], 1)
        differences[phantom.diagnosis].append(float(below[:, left:right].mean() - beside.mean()))
    assert min(map(len, differences.values())) > 50
    assert np.mean(differences["malignant"]) < -10
    assert np.mean(differences["benign"]) > 2


def test_too_small_is_refused() -> None:
    with raises_user_error("32 x 256", 64):
        make_phantom(0, (32, 256))


def test_written_data_set_reads_back(tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path / "set", count=60, size=(64, 64))
    datalist = read_datalist(folder)
    assert datalist.synthetic
    for name, share in (("training", 538 / 645), ("validation", 50 / 645), ("test", 57 / 645)):
        assert abs(len(getattr(datalist, name)) - 60 * share) < 3
    assert all(any(case.masks for case in cases) for _, cases in datalist.sections())
    case = next(case for case in datalist.training if len(case.masks) > 1)
    phantom = make_phantom(int(case.id[-4:]), (64, 64))
    assert np.array_equal(np.asarray(Image.open(case.image)), phantom.image)
    assert np.array_equal(np.asarray(Image.open(case.masks[1])) > 0, phantom.masks[1])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_cached_set_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    first = phantom_dataset(count=4, size=(64, 64))
    monkeypatch.setattr(phantoms, "write_phantoms", None)
    assert phantom_dataset(count=4, size=(64, 64)) == first
    assert first.parent == tmp_path


def test_neither_torch_nor_monai_is_needed() -> None:
    code = "import sys, bus_monai.data.phantoms.ultrasound; sys.exit(bool({'torch', 'monai'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
