"""What scanners differ in: exact where there is a formula, in range and repeatable everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from bus_monai.transforms.scanner import (
    Overlay,
    RandBurnInd,
    RandDepthGaind,
    RandJPEGd,
    RandLetterboxd,
    RandSpeckled,
    add_speckle,
    burn_in,
    correlated_noise,
    depth_gain,
    jpeg,
    letterbox,
)

GRAY = np.full((60, 80), 0.4, dtype=np.float32)
EFFECTS = [RandDepthGaind, RandSpeckled, RandBurnInd, RandJPEGd]


def item(height: int = 60, width: int = 80) -> dict[str, MetaTensor]:
    random = np.random.default_rng(0)
    image = MetaTensor(torch.from_numpy(random.random((1, height, width), dtype=np.float32)), meta={"spacing_mm": 1})
    return {"image": image, "label": MetaTensor((image > 0.9).float())}


@pytest.mark.parametrize("kind", EFFECTS)
@settings(max_examples=20)
@given(st.integers(20, 90), st.integers(20, 90), st.integers(0, 99))
def test_size_range_and_metadata_stay(kind: type, height: int, width: int, seed: int) -> None:
    before = item(height, width)
    after = kind("image", 1.0).set_random_state(seed)(before)
    assert after["image"].shape == (1, height, width)
    assert after["image"].dtype == torch.float32
    assert 0 <= float(after["image"].min()) <= float(after["image"].max()) <= 1
    assert after["image"].meta["spacing_mm"] == 1
    assert after["label"] is before["label"]


@pytest.mark.parametrize("kind", [*EFFECTS, RandLetterboxd])
def test_the_seed_decides(kind: type[MapTransform]) -> None:
    def drawn(seed: int) -> torch.Tensor:
        return kind("image", 1.0).set_random_state(seed)(item())["image"]

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(kind("image", 0.0)(item())["image"], item()["image"])


def test_gain_is_a_power_of_ten_and_smooth() -> None:
    half = 20 * np.log10(0.5)
    after = depth_gain(GRAY, [half, 0.0])
    np.testing.assert_allclose(after[[0, -1], 0], [0.2, 0.4], rtol=1e-6)
    assert (np.diff(after[:, 0]) > 0).all()
    np.testing.assert_allclose(depth_gain(GRAY, [0.0, 0.0, 0.0]), GRAY)


def test_speckle_has_the_strength_asked_for() -> None:
    noise = correlated_noise((200, 200), 2.0, np.random.default_rng(0))
    assert (float(noise.mean()), float(noise.std())) == pytest.approx((0, 1), abs=1e-4)
    flat = np.full((200, 200), 0.4, dtype=np.float32)
    assert float(add_speckle(flat, noise, 0.1).std()) == pytest.approx(0.04, rel=0.01)
    assert not add_speckle(0 * flat, noise, 0.1).any()


def test_longer_correlation_is_smoother() -> None:
    steps = [np.abs(np.diff(correlated_noise((99, 99), k, np.random.default_rng(0)))).mean() for k in (0, 1, 3)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_calipers_are_where_they_belong() -> None:
    after = burn_in(GRAY, Overlay(calipers=[((0.25, 0.25), (0.75, 0.75))], value=1.0))
    assert after[15, 20] == after[45, 60] == after[15, 22] == after[47, 60] == 1
    assert 10 < np.count_nonzero(after != GRAY) < 40


def test_words_are_written() -> None:
    after = burn_in(GRAY, Overlay(texts=[((0.5, 0.1), "BREAST")], value=0.9, height=0.2))
    assert after[:30].tolist() == GRAY[:30].tolist()
    assert 40 < np.count_nonzero(after[30:] != GRAY[30:]) < 600


def test_jpeg_loses_more_at_lower_quality() -> None:
    pixels = np.asarray(item()["image"][0])
    errors = [float(np.abs(jpeg(pixels, quality) - pixels).mean()) for quality in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_borders_shrink_image_and_label_alike() -> None:
    image = torch.ones(1, 60, 80)
    boxed = letterbox(image, [0.25, 0.25, 0.0, 0.0], value=0.5, mode="bilinear")
    # 60 of 90 rows remain, from row 15 of 90
    np.testing.assert_allclose(boxed[0, :9], 0.5, atol=1e-6)
    np.testing.assert_allclose(boxed[0, 12:48], 1, atol=1e-6)
    label = letterbox(image, [0.25, 0.25, 0.0, 0.0], value=0.0, mode="nearest-exact")
    assert int(label.sum()) == 40 * 80
    after = RandLetterboxd(["image", "label"], 1.0, mode=("bilinear", "nearest-exact")).set_random_state(0)(item())
    assert after["image"].shape == after["label"].shape == (1, 60, 80)
    assert set(after["label"].unique().tolist()) <= {0.0, 1.0}
