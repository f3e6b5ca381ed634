"""The page for labeling as somebody sees it who labels, in Chromium by Playwright."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from playwright.sync_api import ConsoleMessage, expect, sync_playwright
from playwright.sync_api import Page as Tab

from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tests.label.conftest import Server

PATIENCE_MS = 1000 * PATIENCE_S
SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))
STATUS = "document.getElementById('status').textContent"
STAGE = "Konva.stages[0]"

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def open_chromium(program: str) -> Iterator[Callable[[], Tab]]:
    """Start a browser, and give what opens a page in it that remembers nothing of others.

    Until it ends, nothing else in this thread can run an event loop.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE_MS
        )

        def open_page() -> Tab:
            context = chromium.new_context(viewport={"width": 1200, "height": 900})
            context.set_default_timeout(PATIENCE_MS)
            return context.new_page()

        yield open_page
        chromium.close()


def wait(tab: Tab, script: str) -> Any:
    """Return the value of an expression as soon as it is true.

    ``Tab.wait_for_function`` evaluates again and again what the policy of the page forbids to.
    """
    look = f"""const value = await ({script}); if (value) return told(value);
      if (performance.now() > end) throw new Error(document.body.innerText); setTimeout(again, 20);"""
    return tab.evaluate(
        f"""new Promise((told, failed) => {{ const end = performance.now() + {PATIENCE_MS};
      const look = async () => {{ {look} }}; const again = () => look().catch(failed); again(); }})"""
    )


class Page:
    """The page as somebody sees it who labels; ``errors`` holds what scripts failed with, and what its policy forbade.

    Args:
        tab: it is opened in; ``errors`` are those of all tabs that remember the same.
        server: it comes from.
        annotator: types this name, where the browser does not remember one.
    """

    def __init__(self, tab: Tab, server: Server, annotator: str = "") -> None:
        self.tab, self.server, self.annotator = tab, server, annotator
        self.read, self.press = tab.evaluate, tab.click
        self.dialog, self.kept = tab.locator("dialog[open]"), tab.locator("#kept")
        self.errors: list[str] = []
        tab.context.on("weberror", lambda failed: self.errors.append(str(failed.error)))
        tab.context.on("console", self._hear)
        self.front()
        tab.goto(server.page)
        if annotator:
            self.dialog.get_by_role("textbox").fill(annotator)
            self.key("Enter")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def front(self) -> None:
        """Be in front of other tabs, behind which the screen is seldom drawn."""
        self.tab.bring_to_front()

    def reload(self) -> None:
        """Open the address of the server anew, until the first image is opened, or said to be broken."""
        self.front()
        self.tab.goto(self.server.page)
        self.said("'")

    def wait(self, script: str) -> Any:
        return wait(self.tab, script)

    def said(self, start: str) -> str:
        return str(self.wait(f"{STATUS}.startsWith({json.dumps(start)}) && {STATUS}"))

    def asked(self) -> str:
        """Return what the dialog says that is open, or opens."""
        return self.dialog.inner_text()

    def open(self, image: str, says: str = "") -> None:
        self.tab.locator("#images").get_by_text(image, exact=True).click()
        expect(self.tab.locator("[aria-current=true]")).to_have_text(image)
        self.said(says)
        self.columns, self.rows = self.read(f"{STAGE}.findOne('Image').size()").values()

    def key(self, keys: str) -> None:
        """Press a key, such as ``s``, ``?``, ``Escape`` or ``Ctrl+Shift+z``."""
        self.tab.keyboard.press(keys.replace("Ctrl", "Control"))

    def at(self, column: float, row: float) -> tuple[float, float]:
        """Return where on the screen the middle of a pixel is."""
        box = "document.querySelector('#view').getBoundingClientRect()"
        left, top, scale = self.read(f"((b, s) => [b.x + s.x(), b.y + s.y(), s.scaleX()])({box}, {STAGE})")
        return left + (column + 0.5) * scale, top + (row + 0.5) * scale

    def mouse(
        self, *way: tuple[float, float], button: Literal["left", "middle", "right"] = "left", shift: bool = False
    ) -> None:
        """Click at a point of the screen, or drag over several."""
        mouse = self.tab.mouse
        if shift:
            self.tab.keyboard.down("Shift")
        if len(way) == 1:
            mouse.click(*way[0], button=button)
        else:
            mouse.move(*way[0])
            mouse.down(button=button)
            for point in way[1:]:
                mouse.move(*point)
            mouse.up(button=button)
        if shift:
            self.tab.keyboard.up("Shift")

    def drag(self, *way: tuple[float, float]) -> None:
        """Click at a pixel, or drag over several."""
        self.mouse(*(self.at(*point) for point in way))

    def slow_double_click(self, pixel: tuple[float, float]) -> None:
        """Click twice in half a second, which a system may be set to take for a double click."""
        self.tab.mouse.click(*self.at(*pixel))
        self.tab.wait_for_timeout(500)
        self.tab.mouse.down(click_count=2)
        self.tab.mouse.up(click_count=2)

    def wheel(self, at: tuple[float, float], notches: int) -> None:
        """Turn the wheel, away from the hand where ``notches`` are above 0."""
        self.tab.mouse.move(*at)
        self.tab.mouse.wheel(0, -120 * notches)

    def draw(self, corners: tuple[tuple[float, float], ...]) -> None:
        self.key("d")
        for corner in corners:
            self.drag(corner)
        self.key("Enter")

    @property
    def lesions(self) -> list[str]:
        return self.tab.locator("#lesions button").all_text_contents()

    def answer(self, asks: str, button: str) -> None:
        assert asks in self.asked()
        self.press(f"dialog [value={button}]")

    def choose(self, field: str, value: str) -> None:
        found = self.tab.locator(f"#{field}, [name={field}]")
        if found.evaluate("(one) => one.matches('select')"):
            found.select_option(value)
        else:
            found.fill(value)
            found.blur()

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
