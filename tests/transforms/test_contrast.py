"""Histogram equalization does what it promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor
from numpy.typing import NDArray

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.transforms.contrast import EQUALIZATION_METHODS, HistogramEqualization, HistogramEqualizationd
from tests.user_errors import raises_user_error


def phantom() -> torch.Tensor:
    return torch.from_numpy(make_phantom(3).image.astype(np.float32) / 255)[None]


def test_global_equalization_is_uniform_and_keeps_the_order() -> None:
    image = phantom()
    out = HistogramEqualization("global")(image)
    shares = np.histogram(np.asarray(out), bins=10, range=(0, 1))[0] / out.numel()
    assert np.abs(shares - 0.1).max() < 0.02
    order = image.flatten().argsort()
    assert bool((out.flatten()[order].diff() >= -1e-6).all())


def test_clahe_raises_local_contrast() -> None:
    image = phantom() * 0.3 + 0.3  # flat
    out = HistogramEqualization("clahe")(image)

    def local(x: torch.Tensor) -> float:
        return float(x[0].unfold(0, 32, 32).unfold(1, 32, 32).std(dim=(2, 3)).mean())

    assert local(out) > 1.5 * local(image)


@pytest.mark.parametrize("method", EQUALIZATION_METHODS)
@settings(max_examples=20)
@given(
    image=hnp.arrays(np.float32, st.tuples(st.integers(1, 50), st.integers(1, 50)), elements=st.floats(0, 1, width=32))
)
def test_any_image_gives_one_of_its_size_in_the_unit_range(method: str, image: NDArray) -> None:
    out = HistogramEqualizationd("image", method)({"image": torch.from_numpy(image)[None]})["image"]
    assert out.shape == (1, *image.shape)
    assert bool(torch.isfinite(out).all())
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.parametrize("method", EQUALIZATION_METHODS)
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_image_stays(method: str, value: float) -> None:
    image = torch.full((1, 21, 19), value)
    assert torch.equal(HistogramEqualization(method)(image), image)


def test_a_larger_clip_limit_gives_more_contrast() -> None:
    image = phantom() * 0.3 + 0.3
    assert HistogramEqualization("clahe", clip_limit=0.05)(image).std() > HistogramEqualization("clahe")(image).std()


def test_metadata_stay() -> None:
    image = MetaTensor(phantom(), meta={"spacing_mm": (0.1, 0.2)})
    out = HistogramEqualizationd("image", "global")({"image": image, "other": 1})
    assert out["image"].meta["spacing_mm"] == (0.1, 0.2)
    assert out["image"].dtype == torch.float32
    assert out["other"] == 1


def test_an_unknown_method_is_named() -> None:
    with raises_user_error("local", "none", "global", "clahe", key="equalization"):
        HistogramEqualization("local")
