"""A simulated annotator clicks in the middle of what is most wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bus_monai.interaction.outline import Click
from bus_monai.interaction.simulate_clicks import next_click, simulate_clicks

SIZE = (9, 12)
MASKS = arrays(bool, SIZE)


def square(top: int, left: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_what_is_more_wrong_comes_first() -> None:
    truth, mask = square(2, 1, 3), square(2, 6, 5)
    assert next_click(mask, truth) == Click(4, 8, positive=False)
    assert next_click(square(2, 6, 3), square(1, 1, 5)) == Click(3, 3, positive=True)


def test_missing_lesion_goes_before_as_much_surplus() -> None:
    assert next_click(square(2, 6, 3), square(2, 1, 3)) == Click(3, 2, positive=True)


def test_the_border_of_the_image_bounds_a_disk() -> None:
    truth = np.ones(SIZE, dtype=bool)
    assert next_click(np.zeros_like(truth), truth) == Click(4, 4, positive=True)


def test_nobody_clicks_twice_at_a_pixel() -> None:
    truth = square(2, 1, 3)
    click = next_click(np.zeros_like(truth), truth, [Click(3, 2)])
    assert (click.row, click.column) == (2, 1)


def test_without_errors_there_is_nothing_to_click_at() -> None:
    with pytest.raises(ValueError, match="no wrong pixel"):
        next_click(square(1, 1, 3), square(1, 1, 3))


@settings(max_examples=50, deadline=None)
@given(MASKS, MASKS)
def test_a_click_says_what_is_true_of_a_wrong_pixel(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
    if (mask == truth).all():
        return
    click = next_click(mask, truth)
    assert truth[click.row, click.column] == click.positive != mask[click.row, click.column]


@settings(max_examples=20, deadline=None)
@given(MASKS.filter(np.any))
def test_an_annotator_of_single_pixels_needs_as_many_clicks_as_pixels(truth: NDArray[np.bool_]) -> None:
    def dots(clicks: Sequence[Click]) -> NDArray[np.bool_]:
        mask = np.zeros(SIZE, dtype=bool)
        for click in clicks:
            mask[click.row, click.column] = click.positive
        return mask

    done = simulate_clicks(truth, dots, target=1.0, max_clicks=truth.size)
    assert len(done.clicks) == truth.sum()
    assert {(click.row, click.column) for click in done.clicks} == {(r, c) for r, c in np.argwhere(truth)}
    assert done.dice[0] == 0
    assert done.dice[-1] == 1
    assert list(done.dice) == sorted(done.dice)


def test_who_is_content_does_not_click() -> None:
    truth = square(2, 1, 3)
    assert simulate_clicks(truth, lambda clicks: truth) == ((), (1.0,))


def test_an_annotator_gives_up() -> None:
    truth = square(2, 1, 3)
    done = simulate_clicks(truth, lambda clicks: np.zeros_like(truth), max_clicks=4)
    assert done.dice == (0.0,) * 5
    assert len(set(done.clicks)) == 4
