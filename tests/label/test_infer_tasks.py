from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bus_monai.geometry.box import Box
from bus_monai.interaction.outline import Click
from tests.user_errors import raises_user_error


@pytest.fixture(scope="module")
def infer_tasks(label_python: Path) -> ModuleType:
    """Imported once MONAI Label can be, on which it builds."""
    importlib.import_module("bus_monai.label.compatibility")
    return importlib.import_module("bus_monai.label.infer_tasks")


def test_points_of_slicer(infer_tasks: ModuleType) -> None:
    given = {"foreground": [[3, 2, 1]], "background": [[5.0, 6.0, 1.0], [7, 8]], "roi": [1, 9, 2, 8, 1, 1]}
    prompts = infer_tasks.read_prompts(given)
    assert list(prompts) == [0, 1]
    assert prompts[0] == ([Click(8, 7, False)], None)
    assert prompts[1] == ([Click(2, 3), Click(6, 5, False)], Box(2, 1, 8, 9))


def test_clicks_keep_their_order(infer_tasks: ModuleType) -> None:
    clicks = [[1, 2, 0, 1], [3, 4, 0, 0], [5, 6, 0, 1]]
    assert infer_tasks.read_prompts({"clicks": clicks}) == {0: ([Click(2, 1), Click(4, 3, False), Click(6, 5)], None)}
    assert infer_tasks.read_prompts({}) == {}


@pytest.mark.parametrize(
    "request_", [{"clicks": [[1, 2]]}, {"clicks": 5}, {"foreground": [["a", 1]]}, {"roi": [1, 2]}, {"roi": "none"}]
)
def test_what_is_no_prompt_is_refused(infer_tasks: ModuleType, request_: dict[str, Any]) -> None:
    with raises_user_error("'clicks'", "[column, row, frame, 1 or 0]", "'roi'", "[left, right, top, bottom, frame]"):
        infer_tasks.read_prompts(request_)


@pytest.mark.parametrize(("sent", "read"), [({}, None), ({"threshold": "0.25"}, 0.25), ({"threshold": 1}, 1.0)])
def test_a_number_may_be_sent_as_a_text(infer_tasks: ModuleType, sent: dict[str, Any], read: float | None) -> None:
    assert infer_tasks.read_number(sent, "threshold", at_most=1) == read


@pytest.mark.parametrize("value", ["$1", "nan", "1e999", -0.1, 1.1, [0.5], {"a": 1}, True, ""])
def test_what_is_no_number_is_refused(infer_tasks: ModuleType, value: Any) -> None:
    with raises_user_error(key="threshold"):
        infer_tasks.read_number({"threshold": value}, "threshold", at_most=1)


@pytest.mark.parametrize("suffix", ["/../x.png", ".exe", "$1", ["a"], 3])
def test_a_result_is_of_a_kind_that_there_is(infer_tasks: ModuleType, suffix: Any, tmp_path: Path) -> None:
    with raises_user_error(".nii.gz", key="result_extension"):
        infer_tasks.ResultFiles().write([], tmp_path / "x.png", {"result_extension": suffix}, {})
