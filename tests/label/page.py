"""The page for labeling as somebody sees it who labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.label.browser import Browser

if TYPE_CHECKING:
    from tests.label.conftest import Server

SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))
STATUS = "document.getElementById('status').textContent"
STAGE = "Konva.stages[0]"
DIALOG = "document.querySelector('dialog[open]')?.innerText"


class Page:
    """The page as somebody sees it who labels.

    Args:
        browser: it is opened in.
        server: it comes from.
        annotator: types this name, where the browser does not remember one.
    """

    def __init__(self, browser: Browser, server: Server, annotator: str = "") -> None:
        self.browser, self.server, self.annotator = browser, server, annotator
        self.key, self.press, self.read, self.wait = browser.key, browser.press, browser.read, browser.wait
        browser.open(server.page)
        if annotator:
            self.wait(DIALOG)
            browser.write(annotator)
            self.key("Enter")

    def reload(self) -> None:
        """Open the address of the server anew, until the first image is opened, or said to be broken."""
        self.browser.open(self.server.page)
        self.wait("document.querySelector('#status')?.textContent.startsWith(\"'\")")

    def said(self, start: str) -> str:
        return str(self.wait(f"{STATUS}.startsWith({json.dumps(start)}) && {STATUS}"))

    def open(self, image: str, says: str = "") -> None:
        place = f"[...document.querySelectorAll('#images button')].findIndex(b => b.textContent === '{image}')"
        self.press(f"#images li:nth-child({self.read(place) + 1}) button")
        self.wait(f"document.querySelector('[aria-current=true]')?.textContent === '{image}'")
        self.said(says)
        self.columns, self.rows = self.read(f"{STAGE}.findOne('Image').size()").values()

    def at(self, column: float, row: float) -> tuple[float, float]:
        """Return where on the screen the middle of a pixel is."""
        left, top = self.read("(b => [b.x, b.y])(document.querySelector('#view').getBoundingClientRect())")
        x, y, scale = self.read(f"(s => [s.x(), s.y(), s.scaleX()])({STAGE})")
        return left + x + (column + 0.5) * scale, top + y + (row + 0.5) * scale

    def drag(self, *way: tuple[float, float], **more: Any) -> None:
        self.browser.mouse(*(self.at(*point) for point in way), **more)

    def draw(self, corners: tuple[tuple[float, float], ...]) -> None:
        self.key("d")
        for corner in corners:
            self.drag(corner)
        self.key("Enter")

    @property
    def lesions(self) -> list[str]:
        return list(self.read("[...document.querySelectorAll('#lesions button')].map((one) => one.textContent)"))

    def answer(self, asks: str, button: str) -> None:
        assert asks in self.wait(DIALOG)
        self.press(f"dialog [value={button}]")

    def choose(self, field: str, value: str) -> None:
        field = f"document.querySelector('#{field}, [name={field}]')"
        self.read(f"(one => {{ one.value = {json.dumps(value)}; one.onchange?.(); }})({field})")

    def save(self) -> str:
        self.key("s")
        return self.said("Saved")

    def hindrances(self) -> list[list[str]]:
        """Return what axe-core finds that keeps somebody from using the page as it is now."""
        if not self.read("'axe' in window"):
            self.read(f"{(Path(__file__).parent / 'axe.min.js').read_text(encoding='utf-8')}; 1")
        serious = "(one) => ['serious', 'critical'].includes(one.impact)"
        found = f"axe.run().then(({{ violations }}) => violations.filter({serious}).map((one) => [one.id, one.help]))"
        return list(self.read(found))

    def too_wide(self) -> list[str]:
        """Return what scrolls sideways."""
        parts = "['html', 'body', 'nav', 'main', 'aside', 'dialog']"
        wide = "(one) => one.scrollWidth > one.clientWidth"
        return list(self.read(f"{parts}.filter((name) => ({wide})(document.querySelector(name)))"))

    def label(self, image: str) -> dict[str, Any]:
        return dict(self.server.ask("GET", f"/bus/label?image={image}").json())
