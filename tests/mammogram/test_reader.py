"""The pipeline with stages that can be worked out by hand: a square is a mass, and its gray value its score."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from bus_monai.geometry.box import Box
from bus_monai.mammogram.reader import MammogramReader
from bus_monai.mammogram.stages import FoundMass
from tests.mammogram.by_hand import classify, reader, segment


def picture(*squares: tuple[int, int, int]) -> Tensor:
    image = torch.zeros(1, 100, 120)
    for top, left, side in squares:
        image[:, top : top + side, left : left + side] = 0.5
    return image


def test_each_found_mass_is_outlined_and_named() -> None:
    image = picture((10, 10, 20), (60, 80, 8))
    masses = reader(FoundMass(Box(60, 80, 68, 88), 0.6), FoundMass(Box(10, 10, 30, 30), 0.9))(image)
    assert [(mass.box, mass.score, mass.shape) for mass in masses] == [
        (Box(10, 10, 30, 30), 0.9, "oval"),
        (Box(60, 80, 68, 88), 0.6, "round"),
    ]
    assert [int(mass.mask.sum()) for mass in masses] == [400, 64]


def test_a_second_mass_at_the_border_of_the_frame_is_kept() -> None:
    """The frame of the first reaches from 0 to 50 columns: 4 columns of the second lie in it."""
    image = picture((30, 10, 20), (30, 31, 20))
    masses = reader(FoundMass(Box(30, 10, 50, 30), 0.9))(image)
    assert [(mass.box, mass.score) for mass in masses] == [(Box(30, 10, 50, 30), 0.9), (Box(30, 31, 50, 35), None)]


def test_two_detections_of_one_mass_are_one_with_the_higher_score() -> None:
    image = picture((30, 30, 20))
    masses = reader(FoundMass(Box(30, 30, 50, 50), 0.7), FoundMass(Box(28, 30, 50, 50), 0.8))(image)
    assert [(mass.box, mass.score) for mass in masses] == [(Box(30, 30, 50, 50), 0.8)]


@pytest.mark.parametrize(("side", "count"), [(2, 1), (3, 2)])
def test_specks_below_two_hundredths_of_the_box_are_left_out(side: int, count: int) -> None:
    image = picture((30, 30, 20), (30, 52, side))
    assert len(reader(FoundMass(Box(30, 30, 50, 50), 0.9))(image)) == count


@pytest.mark.parametrize("box", [Box(0, 0, 100, 5000), Box(-200, -200, 60, 60)])
def test_a_given_box_beyond_the_image_is_what_is_inside(box: Box) -> None:
    image = picture((30, 30, 20))
    (mass,) = reader()(image, [box])
    assert int(mass.mask.sum()) == 400


def test_given_boxes_take_the_place_of_the_detector() -> None:
    image = picture((10, 10, 20), (60, 80, 20))

    def detect(image: Tensor) -> Sequence[FoundMass]:
        raise AssertionError

    masses = MammogramReader(detect, segment, classify)(image, [Box(60, 80, 80, 100)])
    assert [(mass.box, mass.score) for mass in masses] == [(Box(60, 80, 80, 100), None)]
    assert MammogramReader(detect, segment, classify)(image, []) == []


def test_nothing_found_and_nothing_outlined_are_no_mass() -> None:
    assert reader()(picture((10, 10, 20))) == []
    assert reader(FoundMass(Box(60, 60, 80, 80), 0.9))(picture((10, 10, 20))) == []
