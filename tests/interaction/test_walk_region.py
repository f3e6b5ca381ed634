"""The region of a click ends at an edge, at its reach and at clicks of the other kind."""

from __future__ import annotations

import numpy as np

from bus_monai.interaction.click import Click, disc
from bus_monai.interaction.walk_region import AWAY, REACH, walk_region

SIZE = (60, 80)
NOTHING = np.zeros(SIZE, dtype=bool)
CLICK = Click(30, 40)
EDGE = np.where(np.arange(SIZE[1]) < 45, 0.2, 0.6) * np.ones(SIZE)


def test_it_ends_at_an_edge_and_at_its_reach() -> None:
    region = walk_region(EDGE, NOTHING, CLICK, (), 6.0)
    # the edge lies between the columns 44 and 45, blurred by a pixel
    assert int(region[30].nonzero()[0].max()) in (44, 45)
    assert not region[~disc(SIZE, CLICK, REACH * 6)].any()
    assert region[disc(SIZE, CLICK, 4)].all()


def test_a_click_of_the_other_kind_keeps_what_is_round_it() -> None:
    other = Click(30, 32, positive=False)
    region = walk_region(EDGE, NOTHING, CLICK, [other], 6.0)
    assert not region[disc(SIZE, other, AWAY * 8)].any()
    assert region[CLICK.row, CLICK.column]


def test_where_all_around_is_of_its_kind_the_reach_is_filled() -> None:
    mask = ~disc(SIZE, CLICK, 4)
    assert np.array_equal(walk_region(EDGE, mask, CLICK, (), 4.0), disc(SIZE, CLICK, REACH * 4))


def test_a_large_region_is_solved_on_fewer_pixels_with_the_same_outline() -> None:
    size = (400, 400)
    click = Click(200, 200)
    truth = disc(size, click, 90)
    region = walk_region(np.where(truth, 0.2, 0.6), np.zeros(size, dtype=bool), click, (), 80.0)
    assert 2 * (region & truth).sum() / (region.sum() + truth.sum()) > 0.98
