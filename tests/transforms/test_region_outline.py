"""The cells of a screen that have texture, and the outline that they give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.geometry.box import Box
from bus_monai.transforms.region_outline import CELL_PX, Texture, count_along, image_cells, outline_region


def screen(inside: NDArray[np.bool_], ground: int = 0) -> Texture:
    """Speckle where there is an image, plain ground elsewhere."""
    speckle = np.random.default_rng(0).integers(30, 130, inside.shape).astype(np.uint8)
    return Texture.of(np.where(inside, speckle, np.uint8(ground)))


def test_the_share_of_a_cell_is_the_lower_of_its_rows_and_columns() -> None:
    gray = np.zeros((16, 16), np.uint8)
    gray[:8, :8] = np.arange(8)  # as a color bar: changes along rows alone
    gray[8:, 8:] = np.add.outer(np.arange(8), np.arange(8)) + 1
    texture = Texture.of(gray)
    assert texture.rows[:8, :8].sum() == 56
    assert texture.columns[:8, :8].sum() == 0
    np.testing.assert_array_equal(texture.share, [[0, 0], [0, 1]])


@pytest.mark.parametrize("ground", [0, 90])
def test_a_rectangle_is_outlined_to_the_pixel(ground: int) -> None:
    inside = np.zeros((320, 400), dtype=bool)
    inside[43:285, 61:338] = True
    texture = screen(inside, ground)
    (cells,) = image_cells(texture)
    region = outline_region(cells, texture)
    assert region.spans is None
    assert np.abs(np.subtract(region.box.sides, (43, 61, 285, 338))).max() <= 1


def test_a_fan_is_outlined_by_its_columns() -> None:
    rows, columns = np.indices((400, 480))
    down, right = rows + 60, columns - 240
    distance = np.hypot(down, right)
    inside = (distance > 100) & (distance < 430) & (np.abs(right) < 0.55 * down)
    texture = screen(inside)
    (cells,) = image_cells(texture)
    region = outline_region(cells, texture)
    assert region.spans is not None
    found = np.zeros_like(inside)
    found[region.box.slices] = region.inside()
    assert (found & inside).sum() / (found | inside).sum() > 0.95


def test_images_are_parted_and_small_ones_and_writing_left_out() -> None:
    inside = np.zeros((320, 640), dtype=bool)
    inside[40:280, 40:280] = inside[40:280, 360:600] = True
    inside[8:32, 296:344] = True
    texture = screen(inside)
    found = sorted(Box.from_mask(cells).left * CELL_PX for cells in image_cells(texture))
    assert found == [40, 360]
    assert image_cells(screen(np.ones((159, 400), dtype=bool))) == []
    assert image_cells(screen(np.zeros((320, 400), dtype=bool))) == []


def test_pixels_are_counted_beyond_a_byte() -> None:
    mask = np.ones((300, 70_000), dtype=bool)
    mask[7] = False
    assert count_along(mask, axis=0)[0] == 299
    assert count_along(mask, axis=1)[6:8].tolist() == [70_000, 0]
