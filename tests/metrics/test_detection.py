"""Average precision and FROC: by hand, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.geometry.box import Box
from bus_monai.metrics.detection import Detection, detection_curve

A = Box(0, 0, 10, 10)
B = Box(50, 50, 70, 60)
FAR = Box(80, 80, 90, 90)


def test_by_hand() -> None:
    """Found, false, found, twice found: precision 1, 1/2, 2/3, 2/4; the third truth is missed."""
    truths = {"x": [A, B], "y": [A], "z": []}
    table = [
        Detection("x", A, 0.9),
        Detection("z", FAR, 0.8),
        Detection("x", Box(50, 50, 65, 60), 0.7),  # IoU 0.75
        Detection("x", Box(0, 0, 9, 10), 0.6),
    ]
    curve = detection_curve(table, truths)
    assert curve.true_positives.tolist() == [1, 1, 2, 2]
    assert curve.false_positives.tolist() == [0, 1, 1, 2]
    assert curve.average_precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    # of three images one false positive is 1/3 an image, two are 2/3
    assert curve.froc((0, 0.25, 1 / 3, 2)) == pytest.approx({0: 1 / 3, 0.25: 1 / 3, 1 / 3: 2 / 3, 2: 2 / 3})
    assert detection_curve(table, truths, min_iou=0.8).average_precision == pytest.approx(1 / 3)


def test_an_iou_of_exactly_the_least_counts() -> None:
    assert detection_curve([Detection("x", Box(0, 0, 5, 10), 1)], {"x": [A]}).average_precision == 1


def test_precision_is_the_best_at_this_sensitivity_or_a_higher_one() -> None:
    table = [Detection("x", FAR, 0.9), Detection("x", A, 0.8), Detection("x", B, 0.7)]
    assert detection_curve(table, {"x": [A, B]}).average_precision == pytest.approx(2 / 3)


def test_nothing_detected_and_nothing_to_detect() -> None:
    nothing = detection_curve([], {"x": [A]})
    assert nothing.average_precision == 0
    assert nothing.froc() == {0.25: 0, 0.5: 0, 1: 0, 2: 0}
    normal = detection_curve([Detection("x", A, 1)], {"x": []})
    assert normal.average_precision is None
    assert normal.froc() is None


def test_unknown_image_is_named() -> None:
    with pytest.raises(ValueError, match=r"^truths lacks the image 'y', of which there are detections.$"):
        detection_curve([Detection("y", A, 1)], {"x": [A]})


corner = st.tuples(st.integers(0, 3), st.integers(0, 3))
boxes = corner.map(lambda c: Box(4 * c[0], 4 * c[1], 4 * c[0] + 6, 4 * c[1] + 6))
images = st.sampled_from("abc")
tables = st.lists(st.builds(Detection, images, boxes, st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5])), max_size=12)
truth_lists = st.fixed_dictionaries({name: st.lists(boxes, max_size=3, unique=True) for name in "abc"})


def counts_at(table: list[Detection], truths: dict[str, list[Box]], threshold: float) -> tuple[int, int]:
    """The counts at one threshold alone: a truth is found if any detection that overlaps it most does so enough."""
    kept = [d for d in table if d.score >= threshold]
    found = set()
    for d in kept:
        overlaps = [d.box.iou(t) for t in truths[d.image]]
        if overlaps and max(overlaps) >= 0.5:
            found.add((d.image, overlaps.index(max(overlaps))))
    return len(found), len(kept) - len(found)


@settings(max_examples=100)
@given(tables, truth_lists, st.randoms())
def test_against_brute_force(table: list[Detection], truths: dict[str, list[Box]], random: object) -> None:
    points = [counts_at(table, truths, score) for score in sorted({d.score for d in table}, reverse=True)]
    curve = detection_curve(table, truths)
    assert list(zip(curve.true_positives.tolist(), curve.false_positives.tolist(), strict=True)) == points

    total = sum(map(len, truths.values()))
    if total:
        best = [max((t / (t + f) for t, f in points if t >= wanted), default=0) for wanted in range(1, total + 1)]
        assert curve.average_precision == pytest.approx(np.mean(best))
        for rate, sensitivity in curve.froc().items():
            assert sensitivity == max((t for t, f in points if f <= 3 * rate), default=0) / total

    random.shuffle(table)
    shuffled = detection_curve(table, truths)
    assert shuffled.average_precision == curve.average_precision
    assert shuffled.froc() == curve.froc()
