"""Images and masks in the layouts of published data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bus_monai.data.audit.listing import list_images


@pytest.mark.parametrize(
    ("files", "expected", "strays"),
    [
        (
            ["benign/benign (1).png", "benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png"],
            {"benign/benign (1).png": ["benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png"]},
            [],
        ),
        (
            ["case001.png", "case001_tumor.png", "case001_other1.png"],
            {"case001.png": ["case001_other1.png", "case001_tumor.png"]},
            [],
        ),
        (
            ["original/01.png", "GT/01.png", "original/02.png", "GT/03.png"],
            {"original/01.png": ["GT/01.png"], "original/02.png": []},
            ["GT/03.png"],
        ),
        (
            ["images/benign/1.png", "images/malignant/1.png", "Masks/benign/1.png", "Masks/malignant/1_mask.png"],
            {"images/benign/1.png": ["Masks/benign/1.png"], "images/malignant/1.png": ["Masks/malignant/1_mask.png"]},
            [],
        ),
        (
            ["benign/x.jpg", "malignant/x_mask.png"],
            {"benign/x.jpg": []},
            ["malignant/x_mask.png"],
        ),
    ],
)
def test_layouts(tmp_path: Path, files: list[str], expected: dict[str, list[str]], strays: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    listed, left = list_images(tmp_path)
    assert {
        image.path.relative_to(tmp_path).as_posix(): [mask.relative_to(tmp_path).as_posix() for mask in image.masks]
        for image in listed
    } == expected
    assert [path.relative_to(tmp_path).as_posix() for path in left] == strays
    assert all(image.diagnosis in (*image.path.parts, "unknown") for image in listed)
