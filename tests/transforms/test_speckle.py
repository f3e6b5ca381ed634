"""Each speckle filter does what it promises on a phantom of known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor
from numpy.typing import NDArray

from bus_monai.data.phantoms.ultrasound import speckle_envelope
from bus_monai.transforms.speckle import (
    SPECKLE_METHODS,
    SpeckleReduction,
    SpeckleReductiond,
    _differences,
    frost,
    lee,
    local_mean_variance,
    noise_variation,
    srad,
)
from tests.user_errors import raises_user_error

FILTERS = [name for name in SPECKLE_METHODS if name != "none"]
SIDE, RADIUS = 192, 40
# what each reaches at least: ratio of the speckle's mean/std in tissue after and before
GAIN = {
    "median": 1.8,
    "median3": 1.3,
    "lee": 2.0,
    "frost": 2.0,
    "srad": 1.8,
    "nlm": 1.5,
    "curvature_diffusion": 1.5,
    "bilateral": 1.8,
}


@pytest.fixture(scope="module")
def disk() -> NDArray[np.float32]:
    """A dark disk in bright tissue, fully developed speckle, log-compressed like B-mode."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    inside = np.hypot(rows - SIDE / 2, columns - SIDE / 2) <= RADIUS
    amplitude = np.where(inside, 10 ** (-15 / 20), 1.0).astype(np.float32)
    envelope = speckle_envelope(amplitude, np.random.default_rng(3))
    return np.clip((20 * np.log10(np.maximum(envelope, 1e-6)) - 20) / 55 + 1, 0, 1).astype(np.float32)


def tissue(image: NDArray) -> NDArray:
    return image[4:44, 4:-4]


def radial_edge(image: NDArray) -> float:
    """Radius at which the mean over angles crosses half way from disk to tissue."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    radius = np.hypot(rows - SIDE / 2, columns - SIDE / 2)
    inner, outer = image[radius < RADIUS - 12].mean(), image[(radius > RADIUS + 12) & (radius < 80)].mean()
    edges = np.arange(RADIUS - 12, RADIUS + 13)
    profile = [image[(radius >= r - 0.5) & (radius < r + 0.5)].mean() for r in edges]
    return float(np.interp((inner + outer) / 2, np.maximum.accumulate(profile), edges))


@pytest.mark.parametrize("method", FILTERS)
def test_speckle_falls_tissue_keeps_its_mean_and_the_edge_its_place(method: str, disk: NDArray) -> None:
    filtered = np.asarray(SpeckleReduction(method)(torch.from_numpy(disk)[None])[0])
    before, after = tissue(disk), tissue(filtered)
    assert (after.mean() / after.std()) / (before.mean() / before.std()) >= GAIN[method]
    assert after.mean() == pytest.approx(before.mean(), rel=0.04)
    assert abs(radial_edge(filtered) - radial_edge(disk)) < 1
    assert abs(radial_edge(filtered) - RADIUS) < 1.5


@pytest.mark.parametrize(("method", "size"), [("median", 5), ("median3", 3)])
def test_the_median_of_windows_whose_edge_goes_on(method: str, size: int) -> None:
    image = torch.rand(1, 12, 9, generator=torch.Generator().manual_seed(0))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image[0].numpy(), size // 2, "edge"), (size, size))
    assert np.array_equal(SpeckleReduction(method)(image)[0].numpy(), np.median(windows, axis=(2, 3)))


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_image_stays(method: str, value: float) -> None:
    image = torch.full((1, 40, 33), value)
    torch.testing.assert_close(SpeckleReduction(method)(image), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", FILTERS)
@settings(max_examples=15)
@given(
    image=hnp.arrays(
        np.float32, st.tuples(st.integers(12, 40), st.integers(12, 40)), elements=st.floats(0, 1, width=32)
    )
)
def test_any_image_gives_one_of_its_size_in_the_unit_range(method: str, image: NDArray) -> None:
    filtered = SpeckleReduction(method)(torch.from_numpy(image)[None])
    assert filtered.shape == (1, *image.shape)
    assert filtered.dtype == torch.float32
    assert bool(torch.isfinite(filtered).all())
    assert 0 <= float(filtered.min()) <= float(filtered.max()) <= 1


@pytest.mark.parametrize("method", FILTERS)
def test_the_order_of_the_pixels_in_memory_does_not_matter(method: str, disk: NDArray) -> None:
    image = torch.from_numpy(disk[None, 40:80, 30:61])
    column_major = image.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(SpeckleReduction(method)(column_major), SpeckleReduction(method)(image))


@pytest.mark.parametrize("method", FILTERS)
def test_black_margins_do_not_switch_a_filter_off(method: str, disk: NDArray) -> None:
    image = np.pad(disk, ((0, 0), (SIDE, SIDE)))
    filtered = np.asarray(SpeckleReduction(method)(torch.from_numpy(image)[None])[0])
    assert tissue(filtered[:, SIDE:-SIDE]).std() < 0.7 * tissue(disk).std()


def test_long_diffusion_stays_finite() -> None:
    assert bool(np.isfinite(srad(small(), iterations=1500)).all())


def small() -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0.1, 0.9, (9, 8)).astype(np.float32)


def window(image: NDArray, row: int, column: int, half: int) -> NDArray:
    return np.pad(image, half, mode="symmetric")[row : row + 2 * half + 1, column : column + 2 * half + 1]


def test_lee_against_a_plain_loop() -> None:
    image = small()
    noise = noise_variation(*local_mean_variance(image, 3))
    expected = np.empty(image.shape)
    for r in range(9):
        for c in range(8):
            w = window(image, r, c, 1).astype(np.float64)
            mean, variance = w.mean(), w.var()
            signal = max((variance - mean**2 * noise) / (1 + noise), 0)
            k = signal / (signal * (1 + noise) + mean**2 * noise)
            expected[r, c] = mean + k * (image[r, c] - mean)
    np.testing.assert_allclose(lee(image, size=3), expected, atol=1e-5)


def test_frost_against_a_plain_loop() -> None:
    image = small()
    expected = np.empty(image.shape)
    for r in range(9):
        for c in range(8):
            w = window(image, r, c, 2).astype(np.float64)
            rate = 2.0 * w.var() / w.mean() ** 2
            down, right = np.mgrid[-2:3, -2:3]
            weight = np.exp(-rate * np.hypot(down, right))
            expected[r, c] = (weight * w).sum() / weight.sum()
    np.testing.assert_allclose(frost(image, size=5), expected, atol=1e-5)


def test_one_step_of_srad_against_a_plain_loop() -> None:
    image = small().astype(np.float64)
    q0 = noise_variation(*local_mean_variance(image.astype(np.float32), 7))
    last_row, last_column = image.shape[0] - 1, image.shape[1] - 1

    def at(r: int, c: int) -> float:
        return image[min(max(r, 0), last_row), min(max(c, 0), last_column)]

    def coefficient(r: int, c: int) -> float:
        r, c = min(r, last_row), min(c, last_column)
        steps = [at(r - 1, c), at(r + 1, c), at(r, c - 1), at(r, c + 1)] - image[r, c]
        gradient, laplacian = (steps**2).sum() / image[r, c] ** 2, steps.sum() / image[r, c]
        q = max(0.5 * gradient - laplacian**2 / 16, 0) / (1 + 0.25 * laplacian) ** 2
        return float(np.clip(1 / max(1 + (q - q0) / (q0 * (1 + q0)), 1e-6), 0, 1))

    expected = np.empty_like(image)
    for r in range(9):
        for c in range(8):
            here = image[r, c]
            flow = coefficient(r, c) * (at(r - 1, c) - here + at(r, c - 1) - here)
            flow += coefficient(r + 1, c) * (at(r + 1, c) - here) + coefficient(r, c + 1) * (at(r, c + 1) - here)
            expected[r, c] = here + 0.2 * flow
    np.testing.assert_allclose(srad(small(), iterations=1, time_step=0.2), np.clip(expected, 0, 1), atol=1e-5)


def test_srad_loses_no_intensity_inside() -> None:
    """Diffusion moves gray values, it makes none: the differences of a pair cancel."""
    image = small()
    assert float(sum(d.sum() for d in _differences(image))) == pytest.approx(0, abs=1e-4)


def test_metadata_stay() -> None:
    image = MetaTensor(torch.rand(1, 20, 20), meta={"spacing_mm": (0.1, 0.2)})
    out = SpeckleReductiond("image", method="lee")({"image": image, "other": 1})
    assert out["image"].meta["spacing_mm"] == (0.1, 0.2)
    assert out["other"] == 1


def test_an_unknown_method_is_named_with_the_closest() -> None:
    with raises_user_error("meddian", "'median'", *SPECKLE_METHODS, key="speckle"):
        SpeckleReduction("meddian")
