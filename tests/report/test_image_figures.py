"""What is drawn on images: contours, outcomes, boxes, masses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bus_monai.geometry.box import Box
from bus_monai.mammogram.reader import MassReading
from bus_monai.metrics.ignite import ImageDetections
from bus_monai.report.image_figures import contour_figure, detection_figure, draw_contour, mass_figure, overlay_figure
from bus_monai.report.paper import OUTCOME_COLORS, PREDICTION_COLOR, TRUTH_COLOR


def boxes(axis: Axes, color: str) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of the rectangles of a color."""
    drawn = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    return [(*p.get_xy(), p.get_width(), p.get_height()) for p in drawn if p.get_edgecolor()[:3] == to_rgb(color)]


def test_contours_are_drawn_where_there_is_a_border() -> None:
    axis = Figure().subplots()
    square = np.zeros((9, 9))
    square[2:6, 3:7] = 1
    draw_contour(axis, square, 0.5, TRUTH_COLOR)
    (contour,) = axis.collections
    np.testing.assert_allclose(contour.get_paths()[0].get_extents().extents, (2.5, 1.5, 6.5, 5.5))
    for plain in (np.zeros((9, 9)), np.ones((9, 9))):
        draw_contour(axis, plain, 0.5, TRUTH_COLOR)
    assert len(axis.collections) == 1


def test_a_prediction_is_drawn_at_its_threshold() -> None:
    truth = np.zeros((8, 8))
    truth[2:6, 2:6] = 1
    for threshold, count in ((0.5, 2), (0.9, 1)):
        figure = contour_figure([truth], [truth], [0.8 * truth], ["a"], threshold=threshold)
        assert len(figure.axes[0].collections) == count


def test_pixels_are_colored_by_their_outcome() -> None:
    truth, found = np.array([[1, 1, 0, 0]]), np.array([[0.9, 0.1, 0.5, 0.4]])
    figure = overlay_figure([np.full((1, 4), 0.2)], [truth], [found], ["a: b"])
    above, below = (axis.images[0].get_array() for axis in figure.axes)
    np.testing.assert_allclose(above, 0.2)
    hit, missed, false = (0.55 * 0.2 + 0.45 * np.array(to_rgb(color)) for color in OUTCOME_COLORS.values())
    np.testing.assert_allclose(below[0], [hit, missed, false, [0.2] * 3])


def test_boxes_from_the_threshold_on_are_drawn_with_their_scores() -> None:
    one = ImageDetections("a", (40, 80), (Box(5, 10, 20, 30), Box(0, 0, 9, 9)), (0.5, 0.49), (Box(4, 12, 20, 30),))
    axis = detection_figure([np.zeros((20, 20))], [one], threshold=0.5).axes[0]
    assert boxes(axis, TRUTH_COLOR) == [(12, 4, 18, 16)]
    assert boxes(axis, PREDICTION_COLOR) == [(10, 5, 20, 15)]
    assert [text.get_text() for text in axis.texts] == ["0.50"]
    assert axis.get_title() == "a: 1 masses, 1 found"
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 80), (40, 0))


@pytest.mark.parametrize(("score", "said"), [(0.875, ", score 0.88"), (None, "")])
def test_a_mass_is_numbered_and_named(score: float | None, said: str) -> None:
    mask = torch.zeros(1, 40, 60, dtype=torch.bool)
    mask[0, 10:20, 30:50] = True
    shapes = {"irregular": 0.25, "oval": 0.75}
    figure = mass_figure(np.zeros((40, 60)), [MassReading(mask, Box(10, 30, 20, 50), score, shapes)])
    axis = figure.axes[0]
    # as the contour around the same pixels, whose middles are whole numbers
    assert boxes(axis, "white") == [(29.5, 9.5, 20, 10)]
    np.testing.assert_allclose(axis.collections[0].get_paths()[0].get_extents().extents, (29.5, 9.5, 49.5, 19.5))
    assert [text.get_text() for text in axis.texts] == [f"1: oval 0.75{said}"]
