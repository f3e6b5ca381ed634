"""The outline round a guess is where gray rises."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bus_monai.geometry.box import Box
from bus_monai.interaction.outline import Click, Guess, fill_box, find_outline

SIZE = (80, 100)
CENTER = (40.0, 50.0)


def ellipse(height: float, width: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return ((rows - CENTER[0]) / height) ** 2 + ((columns - CENTER[1]) / width) ** 2 <= 1


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


NOTHING = np.zeros(SIZE)
TRUTH = ellipse(14, 20)
IMAGE = np.where(TRUTH, 0.2, 0.6) + np.random.default_rng(0).normal(0, 0.05, SIZE)
CIRCLE = Guess(*CENTER, 12, 12, 0.1, 3, 0.15)


def test_an_ellipse_is_found_from_a_circle_of_another_size() -> None:
    assert dice(find_outline(IMAGE, NOTHING, CIRCLE, ()), TRUTH) > 0.96


def test_a_bright_lesion_is_not_sought() -> None:
    assert dice(find_outline(1 - IMAGE, NOTHING, CIRCLE, ()), TRUTH) < 0.9


def test_an_image_of_one_gray_gives_the_guess() -> None:
    found = find_outline(np.full(SIZE, 0.5), NOTHING, CIRCLE, ())
    # within half of a step of 6 %
    assert dice(found, ellipse(12, 12)) > 0.96


def test_a_probability_moves_the_outline_where_gray_says_nothing() -> None:
    found = find_outline(np.full(SIZE, 0.5), TRUTH.astype(float), CIRCLE, ())
    assert dice(found, TRUTH) > 0.95


def test_a_negative_click_stays_outside_and_the_rest_stays() -> None:
    click = Click(40, 64, positive=False)
    free, held = find_outline(IMAGE, NOTHING, CIRCLE, ()), find_outline(IMAGE, NOTHING, CIRCLE, [click])
    assert free[click.row, click.column]
    assert not held[click.row, click.column]
    assert np.array_equal(held[:, :40], free[:, :40])


def test_an_outline_may_leave_the_image() -> None:
    image = IMAGE[:, 50:]
    guess = Guess(40, 2, 12, 12, 0.1, 3, 0.15)
    assert dice(find_outline(image, NOTHING[:, 50:], guess, ()), TRUTH[:, 50:]) > 0.93


def radius(mask: NDArray[np.bool_]) -> float:
    return float(np.sqrt(mask.sum() / np.pi))


@pytest.mark.parametrize("true_radius", [15, 30, 45])
def test_disks_are_as_large_as_they_are(true_radius: int) -> None:
    random = np.random.default_rng(0)
    side = 5 * true_radius
    nothing = np.zeros((side, side))
    boxed, clicked = [], []
    for guessed in true_radius * np.geomspace(0.7, 1.4, 8):
        row, column = side / 2 + random.uniform(-0.5, 0.5, 2)
        rows, columns = np.ogrid[:side, :side]
        truth = np.hypot(rows - row, columns - column) <= true_radius
        image = np.where(truth, 0.2, 0.7) + random.normal(0, 0.03, truth.shape)
        guess = Guess(round(row), round(column), guessed, guessed, 0.05, 3, 0.15)
        boxed.append(radius(fill_box(image, nothing, nothing > 0, Box.from_mask(truth))) / radius(truth))
        clicked.append(radius(find_outline(image, nothing, guess, ())) / radius(truth))
    assert np.mean(boxed) == pytest.approx(1, abs=0.01)
    assert np.mean(clicked) == pytest.approx(1, abs=0.01)
