from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.labeling_page import BUTTONS, KEYS, Hand
from bus_monai.interaction.outline import Click


class Screen:
    """A tab whose image begins at (10, 20), two screen pixels a pixel."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.keyboard = SimpleNamespace(press=self.did.append)
        self.mouse = SimpleNamespace(click=lambda x, y: self.did.append((x, y)))
        self.click = self.did.append

    def evaluate(self, script: str) -> list[float]:
        return [10, 20, 2]


def test_the_hand_counts_what_it_does() -> None:
    screen = Screen()
    hand = Hand(screen, before=False)  # type: ignore[arg-type]
    for command in ("outline", "add"):
        hand.do(command)
    hand.click(Click(3, 4))
    hand.do("save")
    assert screen.did == [KEYS["outline"], KEYS["add"], (19, 27), KEYS["save"]]
    assert (hand.clicks, hand.keys) == (1, 3)
    # three keys, one click, and the hand from the mouse to the keys, back and there again
    assert hand.seconds == pytest.approx(3 * 0.28 + 1.1 + 0.2 + 3 * 0.4)


def test_a_page_without_keys_is_clicked_at() -> None:
    screen = Screen()
    hand = Hand(screen, before=True)  # type: ignore[arg-type]
    hand.do("next")
    assert (screen.did, hand.clicks, hand.keys) == ([BUTTONS["next"]], 1, 0)
    assert hand.seconds == pytest.approx(1.3)
