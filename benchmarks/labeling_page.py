"""Clicks, keys and time to label ten images on the page of ``bus-monai label``, by a robot in Chromium.

    python benchmarks/labeling_page.py [--checkout DIR --before] [--images 10] [--target 0.9]

The images are phantoms with lesions. The robot outlines each with ``lite_unet``, clicks in the middle of
what is most wrong, with the tool that adds or removes, until the Dice is at the target or five clicks are made, saves,
and goes on to the next. It counts what the hand does, and how long a practiced user takes for it by the keystroke-level
model (Card, Moran and Newell 1980, doi:10.1145/358886.358895): 0.28 s for a key, 1.1 s to point and 0.2 s to press and
let go, 0.4 s whenever the hand changes between mouse and keys. With ``--before`` the page is that of a checkout which
had no keys.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parents[1]
sys.path.append(str(HERE))
from bus_monai.data.phantoms.ultrasound import make_phantom  # noqa: E402
from bus_monai.interaction.outline import Click  # noqa: E402
from bus_monai.interaction.simulate_clicks import next_click  # noqa: E402
from bus_monai.label.contours import fill_contours  # noqa: E402
from bus_monai.metrics.segmentation import mask_dice  # noqa: E402
from tests.label.page import Tab, open_chromium, wait  # noqa: E402

KEY_S, POINT_S, PRESS_S, CHANGE_S = 0.28, 1.1, 0.2, 0.4
SIZE = (384, 512)
FIRST = 700
"""Seed of the first phantom."""
MAX_CLICKS = 5
BUTTONS = {
    "outline": "#infer",
    "save": "#submit",
    "next": "#next",
    "add": "[value=lesion]",
    "remove": "[value=background]",
}
"""Of the page before it had keys."""
KEYS = {"outline": "o", "save": "s", "next": "n", "add": "a", "remove": "r"}
STATUS = "(document.getElementById('status')?.textContent ?? '')"
WATCH = """window.found = null; const before = window.fetch; window.fetch = async (...given) => {
  const answer = await before(...given);
  if (String(given[0]).startsWith("/infer/")) window.found = await answer.clone().json();
  return answer; }; 1"""
PLACE = f"""window.Konva ? (s => {{ const b = s.container().getBoundingClientRect();
  return [b.x + s.x(), b.y + s.y(), s.scaleX()]; }})(Konva.stages[0])
  : (b => [b.x, b.y, b.width / {SIZE[1]}])(document.querySelector("#view img").getBoundingClientRect())"""
"""Left, top and scale of the image on the screen."""


class Hand:
    """What a hand does on the page, counted."""

    def __init__(self, tab: Tab, *, before: bool) -> None:
        self.tab, self.before = tab, before
        self.clicks = self.keys = 0
        self.seconds, self.at = 0.0, "mouse"

    def do(self, command: str) -> None:
        if self.before:
            self._count("mouse")
            self.tab.click(BUTTONS[command])
        else:
            self._count("keys")
            self.tab.keyboard.press(KEYS[command])

    def click(self, click: Click) -> None:
        self._count("mouse")
        left, top, scale = self.tab.evaluate(PLACE)
        self.tab.mouse.click(left + (click.column + 0.5) * scale, top + (click.row + 0.5) * scale)

    def found(self, work: Any) -> np.ndarray:
        """Return the mask (H, W) that the page got after some work."""
        self.tab.evaluate("window.found = null")
        work()
        found = wait(self.tab, "window.found && JSON.stringify(window.found.contours)")
        wait(self.tab, f"!{STATUS}.endsWith('...')")
        return np.asarray(fill_contours(json.loads(found), (1, *SIZE))[0] > 0)

    def said(self, start: str) -> None:
        wait(self.tab, f"{STATUS}.startsWith({json.dumps(start)})")

    def _count(self, where: str) -> None:
        self.seconds += CHANGE_S * (where != self.at)
        self.seconds += KEY_S if where == "keys" else POINT_S + PRESS_S
        self.clicks, self.keys = self.clicks + (where == "mouse"), self.keys + (where == "keys")
        self.at = where


def label(hand: Hand, truth: np.ndarray, target: float) -> float:
    mask = hand.found(lambda: hand.do("outline"))
    clicks: list[Click] = []
    tool = ""
    while mask_dice(mask, truth) < target and len(clicks) < MAX_CLICKS:
        click = next_click(mask, truth, clicks)
        clicks.append(click)
        wanted = "add" if click.positive else "remove"
        if wanted != tool:
            hand.do(wanted)
        tool = wanted
        mask = hand.found(lambda click=click: hand.click(click))
    hand.do("save")
    hand.said("Saved")
    return mask_dice(mask, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=HERE, help="whose page it is")
    parser.add_argument("--before", action="store_true", help="that page has no keys")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--target", type=float, default=0.9, help="Dice that is good enough")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="path of Chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        drawn = (make_phantom(seed, SIZE) for seed in itertools.count(FIRST))
        phantoms = list(itertools.islice((phantom for phantom in drawn if phantom.masks), options.images))
        for number, phantom in enumerate(phantoms):
            Image.fromarray(phantom.image).save(studies / f"phantom_{number:02d}.png")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "bus_monai", "label", "--studies", str(studies), "--bundles", "lite_unet"]
        environment = {**os.environ, "PYTHONPATH": str(options.checkout)}
        command += ["--port", str(port), "--no-token"]
        server = subprocess.Popen(command, env=environment, cwd=options.checkout, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        server.stdout.readline()  # its address
        try:
            with open_chromium(options.browser) as open_page:
                tab = open_page()
                tab.goto(f"http://127.0.0.1:{port}/bus/")
                if not options.before:
                    tab.get_by_role("textbox", name="Your name").fill("Robot")
                    tab.keyboard.press("Enter")
                hand = Hand(tab, before=options.before)
                hand.said("No label yet.")
                tab.evaluate(WATCH)
                began, dice = time.perf_counter(), []
                for number in range(len(phantoms)):
                    if number:
                        hand.do("next")
                        hand.said("No label yet.")
                    # what comes next may be drawn at random
                    shown = tab.inner_text("[aria-current=true]")
                    masks = phantoms[int(shown.removeprefix("phantom_"))].masks
                    dice.append(label(hand, np.any(masks, axis=0), options.target))
        finally:
            server.terminate()
            server.wait()
    print("| images | clicks | keys | hand, s | with the machine, s | least Dice | mean Dice |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {options.images} | {hand.clicks} | {hand.keys} | {hand.seconds:.0f} | {time.perf_counter() - began:.0f} "
        f"| {min(dice):.2f} | {np.mean(dice):.2f} |"
    )


if __name__ == "__main__":
    main()
