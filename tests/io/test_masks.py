"""Color PNG, read back by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.io.masks import write_color_png
from bus_monai.io.ours import PNG_MARK, is_marked


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (60, 83)])
def test_pixels_come_back_from_a_file_marked_as_ours(size: tuple[int, int], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    write_color_png(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert (image.mode, dict(image.text)) == ("RGB", PNG_MARK)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert is_marked(tmp_path / "a.png")
