"""What Python takes as an image: the same picture in every form, or a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.inference.api import as_source, check_spacing, segment
from bus_monai.sources.read import read_source
from tests.user_errors import raises_user_error

GRAY = np.random.default_rng(0).integers(0, 256, (6, 9), np.uint8)
GRAY[0, :2] = 0, 255
RGB = np.repeat(GRAY[..., None], 3, axis=2)
FORMS: dict[str, Any] = {
    "gray": GRAY,
    "one channel": GRAY[..., None],
    "rgb": RGB,
    "int64": GRAY.astype(np.int64),
    "float 255": GRAY.astype(np.float64),
    "float 1": GRAY / np.float32(255),
    "wide": GRAY.astype(np.uint16) * 16,
    "pillow": Image.fromarray(GRAY),
    "pillow rgb": Image.fromarray(RGB),
    "pillow rgba": Image.fromarray(RGB).convert("RGBA"),
    "pillow alpha": Image.fromarray(GRAY).convert("LA").convert("La"),
    "tensor": torch.from_numpy(GRAY.copy()),
    "tensor first": torch.from_numpy(GRAY.copy())[None],
    "tensor rgb": torch.from_numpy(RGB.copy()).permute(2, 0, 1),
    "tensor grad": torch.from_numpy(GRAY / np.float32(255)).requires_grad_(),
    "bfloat16": torch.from_numpy(GRAY / np.float32(255)).to(torch.bfloat16),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_the_same_picture_in_every_form(form: str) -> None:
    pixels = as_source(FORMS[form]).pixels
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, GRAY / 255, atol=2e-3 if form == "bfloat16" else 1e-6)


def test_a_dataset_is_read_as_its_file() -> None:
    for name in ("US1_UNCR.dcm", "examples_palette.dcm", "examples_ybr_color.dcm"):
        path = str(get_testdata_file(name))
        found, expected = as_source(pydicom.dcmread(path), any_body_part=True), read_source(path)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.spacing_mm == expected.spacing_mm


@pytest.mark.parametrize(
    "image",
    [
        None, b"x", 3, {}, GRAY.astype(complex), GRAY.astype(str), np.dstack([RGB, GRAY]), GRAY[0], GRAY[:0],
        np.zeros((3, 6, 9)), torch.zeros(3, 6, 3), torch.zeros(2, 3, 6, 9), "no such file.png", "nul\0.png", ".",
        torch.eye(9).to_sparse(), torch.empty(6, 9, device="meta"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_a_sentence(image: Any) -> None:
    with pytest.raises(UserError):
        as_source(image)


@pytest.mark.parametrize(
    "spacing", [[0.1, 2], np.array([0.1, 2]), torch.tensor([0.1, 2]), (np.float32(0.1), np.int64(2))]
)
def test_numbers_of_any_kind_are_a_spacing(spacing: Any) -> None:
    assert check_spacing(spacing) == pytest.approx((0.1, 2))


@pytest.mark.parametrize(
    "spacing",
    [
        0.1, (0, 0), (-0.1, 0.2), (0.1,), (1, 2, 3), ("a", "b"), (np.nan, 1), (np.inf, 1), ("0.1", "0.2"),
        (True, True), {0.1, 0.2}, {0.1: 1, 0.2: 1}, "12",
    ],
)  # fmt: skip
def test_a_spacing_is_two_numbers_above_0(spacing: Any) -> None:
    with raises_user_error(key="spacing_mm"):
        check_spacing(spacing)


def test_what_is_wrong_with_a_file_is_in_the_notes() -> None:
    data = pydicom.dcmread(str(get_testdata_file("US1_UNCR.dcm")))
    data.PixelSpacing = ["0", "0"]
    assert any("PixelSpacing" in note for note in segment(data, any_body_part=True).notes)
