"""Default boxes: the published number, and a plain reference."""

from __future__ import annotations

import torch

from bus_monai.detection.default_boxes import BOXES_A_CELL, default_boxes
from tests.detection.corners import as_centres


def test_number_of_boxes_map_by_map() -> None:
    assert [n * side**2 for n, side in zip(BOXES_A_CELL, (38, 19, 10, 5, 3, 1), strict=True)] == [
        5776, 2166, 600, 150, 36, 4,
    ]  # fmt: skip
    assert default_boxes().shape == (8732, 4)


def test_first_cell_of_each_map() -> None:
    boxes = as_centres(default_boxes())
    first = boxes[[0, 5776, 7942, 8542, 8692, 8728]]
    torch.testing.assert_close(first[:, 0] * 300, torch.tensor([4.0, 8, 16, 32, 50, 150]))
    torch.testing.assert_close(first[:, 2] * 300, torch.tensor([30.0, 60, 111, 162, 213, 264]))
    torch.testing.assert_close(boxes[-4:, 2] * 300, torch.tensor([264, 288.37475, 373.35238, 186.67619]))


def test_against_loops() -> None:
    expected = []
    for side, step, low, high, ratios in (
        (38, 8, 30, 60, (2,)),
        (19, 16, 60, 111, (2, 3)),
        (10, 32, 111, 162, (2, 3)),
        (5, 64, 162, 213, (2, 3)),
        (3, 100, 213, 264, (2,)),
        (1, 300, 264, 315, (2,)),
    ):
        for row in range(side):
            for column in range(side):
                cell = ((column + 0.5) * step, (row + 0.5) * step)
                expected.append((*cell, low, low))
                expected.append((*cell, (low * high) ** 0.5, (low * high) ** 0.5))
                for ratio in ratios:
                    expected.append((*cell, low * ratio**0.5, low / ratio**0.5))
                    expected.append((*cell, low / ratio**0.5, low * ratio**0.5))
    torch.testing.assert_close(as_centres(default_boxes()), torch.tensor(expected) / 300)
