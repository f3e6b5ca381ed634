from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bus_monai.geometry.box import Box
from bus_monai.interaction.outline import Click
from bus_monai.io.nifti import StoredOrder
from bus_monai.label.request import InferOptions, read_number, read_prompts
from tests.user_errors import raises_user_error

AS_SHOWN = StoredOrder(), (30, 40)


def test_points_of_slicer() -> None:
    given = {"foreground": [[3, 2, 1]], "background": [[5.0, 6.0, 1.0], [7, 8]], "roi": [1, 9, 2, 8, 1, 1]}
    prompts = read_prompts(given, *AS_SHOWN)
    assert list(prompts) == [0, 1]
    assert prompts[0] == ([Click(8, 7, False)], None)
    assert prompts[1] == ([Click(2, 3), Click(6, 5, False)], Box(2, 1, 8, 9))


def test_clicks_keep_their_order() -> None:
    clicks = [[1, 2, 0, 1], [3, 4, 0, 0], [5, 6, 0, 1]]
    expected = {0: ([Click(2, 1), Click(4, 3, False), Click(6, 5)], None)}
    assert read_prompts({"clicks": clicks}, *AS_SHOWN) == expected
    assert read_prompts({}, *AS_SHOWN) == {}


@pytest.mark.parametrize("rows_first", [False, True])
@pytest.mark.parametrize("rows_back", [False, True])
@pytest.mark.parametrize("columns_back", [False, True])
def test_prompts_of_monai_labels_clients_are_of_the_stored_values(
    rows_first: bool, rows_back: bool, columns_back: bool
) -> None:
    order = StoredOrder(rows_first, rows_back, columns_back)
    stored = np.zeros((30, 40) if rows_first else (40, 30))
    stored[3, 5], stored[10:14, 20:27] = 1, 2
    picture = order.to_picture(stored)
    ((row, column),) = np.argwhere(picture == 1)
    box = Box.from_mask(picture == 2)
    sent = {"foreground": [[3, 5, 0]], "roi": [10, 14, 20, 27, 0]}
    assert read_prompts(sent, order, (30, 40)) == {0: ([Click(row, column)], box)}
    # the page knows the picture alone
    sent = {"clicks": [], "roi": [10, 14, 20, 27, 0]}
    assert read_prompts(sent, order, (30, 40)) == {0: ([], Box(20, 10, 27, 14))}


@pytest.mark.parametrize(
    "request_", [{"clicks": [[1, 2]]}, {"clicks": 5}, {"foreground": [["a", 1]]}, {"roi": [1, 2]}, {"roi": "none"}]
)
def test_what_is_no_prompt_is_refused(request_: dict[str, Any]) -> None:
    with raises_user_error("'clicks'", "[column, row, frame, 1 or 0]", "'roi'", "[left, right, top, bottom, frame]"):
        read_prompts(request_, *AS_SHOWN)


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
