from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bus_monai.errors import UserError
from bus_monai.label.contours import label_contours
from bus_monai.label.fill_contours import fill_contours
from bus_monai.lesion import STAIRS


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (2, 7, 8), elements=st.integers(0, 2)))
def test_filled_contours_are_the_labels(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(fill_contours(label_contours(list(labels)), labels.shape), labels)


def test_contours_say_lesion_and_frame() -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[1:4, 2:6] = 1
    labels[5:8, 5:8] = 2
    labels[6, 6] = 0
    contours = label_contours([np.zeros((8, 9), np.uint8), labels])
    assert [(contour["label"], contour["frame"]) for contour in contours] == [(1, 1), (2, 1), (2, 1)]
    points = np.array(contours[0]["points"])
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([1.5, 0.5], [5.5, 3.5])


def test_straightened_outlines_have_few_corners_and_lose_no_lesion() -> None:
    rows, columns = np.ogrid[:100, :120]
    labels = (((rows - 50) / 30) ** 2 + ((columns - 60) / 40) ** 2 <= 1).astype(np.uint8)
    labels[3, 3] = 2
    contours = label_contours([labels], tolerance=STAIRS)
    assert [len(contour["points"]) for contour in contours] == [16, 4]
    filled = fill_contours(contours, (1, *labels.shape))[0]
    assert filled[3, 3] == 2
    assert 2 * ((filled == 1) & (labels == 1)).sum() / ((filled == 1).sum() + (labels == 1).sum()) > 0.98


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": None}, "Contour 2 is no polygon: send three points of [column, row] or more."),
        ({"points": [[0, 0], [1, 1]]}, "Contour 2 is no polygon: send three points of [column, row] or more."),
        ({"points": [[0, 0], [1]]}, "Contour 2 is none: send 'label', 'frame' and 'points' of [column, row] each."),
        ({"label": "x"}, "Contour 2 is none: send 'label', 'frame' and 'points' of [column, row] each."),
        (
            {"label": 256},
            "Contour 2 is of lesion 256 in frame 0: number lesions from 1 to 255, and frames from 0 to 1.",
        ),
        ({"frame": 2}, "Contour 2 is of lesion 1 in frame 2: number lesions from 1 to 255, and frames from 0 to 1."),
        ({"points": [[0, 0], [0, 1], [float("nan"), 1]]}, "Contour 2 is no polygon: send three points of [column,"),
    ],
)
def test_what_is_no_contour_is_refused(change: dict[str, Any], message: str) -> None:
    good = {"label": 1, "frame": 0, "points": [[0, 0], [0, 3], [3, 0]]}
    with pytest.raises(UserError) as caught:
        fill_contours([good, good | change], (2, 5, 6))
    assert str(caught.value).startswith(message)
