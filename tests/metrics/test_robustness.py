"""The cost of a disturbance: paired differences, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from bus_monai.metrics.case_scores import score_case
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.robustness import compare_robustness


def row(id: str, found: int, lesion: bool = True) -> CaseRow:
    """A case of ten pixels, the first five lesion, of which ``found`` are predicted from the left."""
    truth, probability = np.zeros((1, 10), bool), np.zeros((1, 10))
    truth[:, :5] = lesion
    probability[:, :found] = 1
    return CaseRow.of(score_case(probability, truth), id=id, group=id[0], diagnosis="benign" if lesion else "normal")


PLAIN = [row("a1", 5), row("a2", 4), row("b1", 3), row("n1", 0, False), row("n2", 2, False)]


def test_the_same_predictions_cost_nothing() -> None:
    table = compare_robustness(PLAIN, {"x": PLAIN})
    assert list(table) == ["undisturbed", "x"]
    assert table["x"]["dice"] == table["undisturbed"]["dice"]
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert table["x"]["dice_difference"] == nothing
    assert table["x"]["false_positive_rate_difference"]["mean"] == 0
    assert "dice_difference" not in table["undisturbed"]


def test_differences_are_means_over_cases() -> None:
    worse = [row("a1", 4), row("a2", 3), row("b1", 0), row("n1", 1, False), row("n2", 2, False)]
    scores = compare_robustness(PLAIN, {"x": worse})["x"]

    def dice(found: int) -> float:
        return 2 * found / (5 + found)

    changes = [dice(4) - dice(5), dice(3) - dice(4), dice(0) - dice(3)]
    assert scores["dice_difference"]["mean"] == pytest.approx(np.mean(changes))
    # two groups, so the ends are those of drawing one of them twice
    assert scores["dice_difference"]["low"] == pytest.approx(changes[2])
    assert scores["dice_difference"]["high"] == pytest.approx(np.mean(changes[:2]))
    assert scores["false_positive_rate"]["mean"] == 1
    assert scores["false_positive_rate_difference"]["mean"] == 0.5


def test_without_normal_images_there_is_no_rate() -> None:
    assert set(compare_robustness(PLAIN[:3], {})["undisturbed"]) == {"dice"}


def test_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the images under 'x' are others than the undisturbed, such as 'n2'\.$"):
        compare_robustness(PLAIN, {"x": PLAIN[:4]})
