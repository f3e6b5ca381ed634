"""Pictures with outlines, words beside the lesions, and the strip below."""

from __future__ import annotations

import numpy as np
import pytest

from bus_monai.geometry.lesion import measure_lesions
from bus_monai.inference.overlay import LESION_COLORS, draw_overlay, lesion_text


def test_the_image_keeps_its_place_and_the_strip_its_words() -> None:
    pixels = np.full((400, 600), 0.5, np.float32)
    labels = np.zeros((400, 600), np.int32)
    labels[100:200, 300:400] = 1
    drawn = draw_overlay(pixels, labels, measure_lesions(labels, spacing_mm=(0.1, 0.1)), "a model")
    assert drawn.shape[1:] == (600, 3)
    assert drawn.shape[0] > 400
    assert drawn[100, 350].tolist() == LESION_COLORS[0].tolist()
    assert (drawn[110:190, 310:390] == 128).all()
    assert (drawn[210:400] == 128).all()
    assert (drawn[70:99, 300:400] != 128).any()  # number and long axis
    assert (drawn[400:] == 255).any()
    # another model is another strip; without lesions nothing else changes
    other = draw_overlay(pixels, np.zeros_like(labels), (), "another")
    assert (other[:400] == 128).all()
    assert not np.array_equal(drawn[400:], other[400:])


def test_words_stay_in_the_picture() -> None:
    """At the upper right corner they stand below the lesion, further left."""
    labels = np.zeros((300, 400), np.int32)
    labels[:40, 380:] = 1
    lesions = measure_lesions(labels)
    bare, drawn = (draw_overlay(np.zeros((300, 400), np.float32), labels, x) for x in ((), lesions))
    rows, columns, _ = np.nonzero(drawn != bare)
    assert 40 <= rows.min() < rows.max() < 80
    assert 320 < columns.min() < 380
    assert columns.max() < 400


def test_a_picture_narrower_than_the_words_grows() -> None:
    drawn = draw_overlay(np.ones((24, 32), np.float32), np.zeros((24, 32), np.int32))
    assert drawn.shape[1] > 150
    assert (drawn[:24, :32] == 255).all()
    assert not drawn[:24, 32:].any()


@pytest.mark.parametrize(("spacing", "text"), [((0.1, 0.1), "1: 1.3 mm"), (None, "1: 13 px")])
def test_lengths_are_in_mm_where_the_image_is_calibrated(spacing: tuple[float, float] | None, text: str) -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[5, 3:16] = 1
    assert lesion_text(measure_lesions(labels, spacing_mm=spacing)[0]) == text
