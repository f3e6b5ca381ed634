from __future__ import annotations

from typing import Any

import pytest

from bus_monai.geometry.box import Box
from bus_monai.interaction.outline import Click
from bus_monai.label.request import InferOptions, read_number, read_prompts
from tests.user_errors import raises_user_error


def test_points_of_slicer() -> None:
    given = {"foreground": [[3, 2, 1]], "background": [[5.0, 6.0, 1.0], [7, 8]], "roi": [1, 9, 2, 8, 1, 1]}
    prompts = read_prompts(given)
    assert list(prompts) == [0, 1]
    assert prompts[0] == ([Click(8, 7, False)], None)
    assert prompts[1] == ([Click(2, 3), Click(6, 5, False)], Box(2, 1, 8, 9))


def test_clicks_keep_their_order() -> None:
    clicks = [[1, 2, 0, 1], [3, 4, 0, 0], [5, 6, 0, 1]]
    assert read_prompts({"clicks": clicks}) == {0: ([Click(2, 1), Click(4, 3, False), Click(6, 5)], None)}
    assert read_prompts({}) == {}


@pytest.mark.parametrize(
    "request_", [{"clicks": [[1, 2]]}, {"clicks": 5}, {"foreground": [["a", 1]]}, {"roi": [1, 2]}, {"roi": "none"}]
)
def test_what_is_no_prompt_is_refused(request_: dict[str, Any]) -> None:
    with raises_user_error("'clicks'", "[column, row, frame, 1 or 0]", "'roi'", "[left, right, top, bottom, frame]"):
        read_prompts(request_)


@pytest.mark.parametrize(("sent", "read"), [({}, None), ({"threshold": "0.25"}, 0.25), ({"threshold": 1}, 1.0)])
def test_a_number_may_be_sent_as_a_text(sent: dict[str, Any], read: float | None) -> None:
    assert read_number(sent, "threshold", at_most=1) == read


@pytest.mark.parametrize("value", ["$1", "nan", "1e999", -0.1, 1.1, [0.5], {"a": 1}, True, ""])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with raises_user_error(key="threshold"):
        read_number({"threshold": value}, "threshold", at_most=1)


@pytest.mark.parametrize("suffix", ["/../x.png", ".exe", "$1", ["a"], 3])
def test_a_result_is_of_a_kind_that_there_is(suffix: Any) -> None:
    with raises_user_error(".nii.gz", key="result_extension"):
        InferOptions.of({"result_extension": suffix})


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("threshold", 1.5, [0, 1]),
        ("min_area", -1, [0]),
        ("tolerance", float("inf"), [0]),
        ("result_extension", ".dcm", [".png"]),
        ("save_label", "false", ["True", "False"]),
        ("any_body_part", 2, ["True", "False"]),
        ("sensitivity", "$1", ["high", "balanced", "specific"]),
    ],
)
def test_what_is_out_of_range_is_refused(key: str, value: Any, named: list[object]) -> None:
    with raises_user_error(*named, key=key):
        InferOptions.of({key: value})


def test_what_is_left_out_is_usual() -> None:
    assert InferOptions.of({"client_id": "x", "min_area": None}) == (0.5, None, 0.3, None, False, "balanced")
    assert InferOptions.of({"result_extension": ".dcm"}, (".dcm",)).suffix == ".dcm"
