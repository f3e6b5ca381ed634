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
