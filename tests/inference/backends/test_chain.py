"""Resizing by matrices against MONAI's own."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms.spatial.array import Resize

from bus_monai.inference.backends.chain import Chain, resize_matrix

SIDES = st.integers(1, 90)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES, st.booleans())
def test_equals_resize_for_any_size(height: int, width: int, rows: int, columns: int, anti_aliasing: bool) -> None:
    image = torch.rand((1, height, width), generator=torch.Generator().manual_seed(height * 100 + width))
    expected = Resize((rows, columns), mode="bilinear", anti_aliasing=anti_aliasing)(image)[0].numpy()
    left = resize_matrix(height, rows, anti_aliasing=anti_aliasing)
    right = resize_matrix(width, columns, anti_aliasing=anti_aliasing)
    np.testing.assert_allclose(left @ image[0].numpy() @ right.T, expected, atol=2e-5)


def test_the_same_size_is_the_identity() -> None:
    np.testing.assert_array_equal(resize_matrix(7, 7, anti_aliasing=True), np.eye(7))


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_bands_are_the_matrix(height: int, width: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(height * 100 + width)
    pixels, found = random.random((height, width), np.float32), random.random((rows, columns), np.float32)
    chain = Chain((rows, columns))
    inputs = chain.inputs(pixels)
    np.testing.assert_allclose(chain.shrink(pixels), inputs["rows"] @ pixels @ inputs["columns"], atol=1e-5)
    enlarged = inputs["rows_back"] @ found @ inputs["columns_back"]
    np.testing.assert_allclose(chain.enlarge(found, pixels.shape), enlarged, atol=1e-5)
