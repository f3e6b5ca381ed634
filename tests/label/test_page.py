"""The page for labeling, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames

from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.label.contours import fill_contours
from tests.label.browser import Browser
from tests.label.conftest import MODEL, Server, fill_studies
from tests.user_errors import check_sentence

SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))
STATUS = "document.getElementById('status').textContent"
STAGE = "Konva.stages[0]"
DIALOG = "document.querySelector('dialog[open]')?.innerText"


class Page:
    """The page as somebody sees it who labels.

    Args:
        browser: it is opened in.
        server: it comes from.
        annotator: types this name.
    """

    def __init__(self, browser: Browser, server: Server, annotator: str) -> None:
        self.browser, self.server, self.annotator = browser, server, annotator
        self.key, self.press, self.read, self.wait = browser.key, browser.press, browser.read, browser.wait
        browser.open(server.page)
        self.wait(DIALOG)
        browser.write(annotator)
        self.key("Enter")

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
        serious = "(one) => ['serious', 'critical'].includes(one.impact)"
        found = f"axe.run().then(({{ violations }}) => violations.filter({serious}).map((one) => [one.id, one.help]))"
        return list(self.read(found))

    def label(self, image: str) -> dict[str, Any]:
        return dict(self.server.ask("GET", f"/bus/label?image={image}").json())


@pytest.fixture(scope="module")
def page_server(
    serve: Callable[..., Server], small_phantoms: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    """A server of phantoms and a calibrated cine."""
    folder = tmp_path_factory.mktemp("page")
    studies = fill_studies(folder / "studies", small_phantoms)
    # those that are smaller do not look like ultrasound to the model that ships
    for name in ("phantom_0002", "phantom_0003"):
        Image.fromarray(make_phantom(8, (160, 200)).image).save(studies / f"{name}.png")
    write_demo_files(folder / "demo")[3].rename(studies / "cine.dcm")
    return serve(studies, "--bundles", f"{MODEL}=baseline:{small_weights},lite_unet")


@pytest.fixture(scope="module")
def browsers(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Browser]]:
    """Start browsers, each with what it remembers of its own; they end with the module."""
    started: list[Browser] = []

    def start() -> Browser:
        started.append(Browser(chromium, tmp_path_factory.mktemp("profile")))
        return started[-1]

    yield start
    for browser in started:
        browser.close()


@pytest.fixture(scope="module")
def ann(browsers: Callable[[], Browser], page_server: Server) -> Page:
    browser = browsers()
    browser.open(f"{page_server.url}/bus/")
    assert "token" in browser.wait("document.body?.innerText")
    page = Page(browser, page_server, "Ann")
    browser.read(f"{(Path(__file__).parent / 'axe.min.js').read_text(encoding='utf-8')}; 1")
    # the first image by name cannot be read
    assert ".png'" in page.said("'")
    assert browser.read("location.href") == f"{page_server.url}/bus/"
    assert browser.read("document.cookie") == ""
    return page


@pytest.fixture(autouse=True)
def _no_errors(ann: Page) -> Iterator[None]:
    yield
    assert not ann.browser.errors


def test_an_image_is_outlined_changed_and_saved(ann: Page) -> None:
    client = ann.server.client()
    ann.open("phantom_0002", "No label yet.")
    # a model with operating points lets one choose among them
    assert ann.read("document.getElementById('find').hidden")
    ann.choose("model", "lite_unet")
    points = "[...document.getElementById('sensitivity').options].map((one) => one.value).join()"
    assert ann.read(points) == "balanced,high,specific"
    ann.choose("sensitivity", "high")
    ann.key("o")
    _, params = client.infer("lite_unet", "phantom_0002", {"tolerance": 0.9, "sensitivity": "high"})
    found = params["label_names"].values()
    assert found
    assert ann.said("Version 0 found") == f"Version 0 found {len(found)}."
    assert ann.lesions == [f"Lesion {number}" for number in found]
    assert ann.save() == "Saved as version 1 of the label of phantom_0002."
    np.testing.assert_array_equal(_mask(client, "phantom_0002"), fill_contours(params["contours"], (1, 160, 200))[0])
    record = ann.label("phantom_0002")["record"]
    made = [record[key] for key in ("annotator", "origin", "model", "model_version")]
    assert made == ["Ann", "accepted", "lite_unet", 0]

    ann.open("phantom_0001", "No label yet.")
    ann.draw(SQUARE)
    ann.key("v")
    ann.drag((20, 20))
    ann.drag((10, 10), (8, 8), (5, 5))
    # a corner and the middle of a side for each; a middle makes a corner, a double click removes one
    corners = f"{STAGE}.find('.corner').length"
    assert ann.read(corners) == 8
    ann.drag((30, 20), (34, 20), (40, 20))
    assert ann.read(corners) == 10
    for _ in range(2):
        ann.drag((40, 20))
    assert ann.read(corners) == 8
    ann.choose("number", "3")
    assert ann.lesions == ["Lesion 3"]
    ann.choose("model", MODEL)
    ann.key("a")
    ann.drag((50, 20))
    assert ann.said("1 click") == "1 click"
    ann.drag((48, 20))
    ann.said("2 clicks")
    ann.key("Ctrl+z")
    ann.key("r")
    ann.drag((40, 60))
    ann.said("2 clicks")
    ann.key("x")
    ann.drag((35, 40), (40, 50), (54, 59))
    ann.said("Filled")
    ann.save()
    label = _mask(client, "phantom_0001")
    assert set(label[10:30, 11:29].ravel()) == set(label[7, [7, 8]]) == {3}
    assert label[20, 50] == 1
    assert label[50, 45] == 2
    assert ann.label("phantom_0001")["record"]["origin"] == "drawn"
    assert ann.read("document.querySelector('#count').textContent") == "2 of 8 labeled"

    ann.press("#train")
    ann.answer(f"Train {MODEL}", "train")
    training = "document.getElementById('training').textContent"
    # what was accepted as the model made it counts as no evidence
    said = ann.wait(f"!document.getElementById('train').disabled && {training}")
    check_sentence(said.removeprefix("bus-monai: "), "1 patients", "label more images")


def test_nothing_is_saved_or_replaced_by_accident(ann: Page) -> None:
    ann.open("phantom_0003", "No label yet.")
    ann.key("s")
    assert "No lesion: normal?" in ann.wait(DIALOG)
    assert ann.hindrances() == []
    ann.answer("No lesion: normal?", "back")
    ann.said("Not saved")
    assert ann.label("phantom_0003")["version"] == 0
    ann.key("s")
    ann.answer("No lesion: normal?", "normal")
    ann.said("Saved as version 1")
    found = ann.label("phantom_0003")
    assert found["record"]["normal"]
    assert not found["contours"]
    sent = {"annotator": "Ann", "origin": "drawn", "seconds": 1, "contours": [], "replaces": 1}
    refused = ann.server.ask("PUT", "/bus/label?image=phantom_0003", json=sent)
    assert (refused.status_code, "normal" in refused.text) == (400, True)

    ann.choose("model", "lite_unet")
    ann.draw(((1, 1), (6, 1), (6, 6), (1, 6)))
    ann.key("o")
    ann.answer("made by hand", "back")
    ann.said("Nothing was changed.")
    assert ann.lesions == ["Lesion 1"]
    ann.key("o")
    ann.answer("made by hand", "add")
    ann.said("Version 0 found")
    added = ann.lesions
    assert added[:2] == ["Lesion 1", "Lesion 2"]
    ann.key("o")
    ann.answer("made by hand", "replace")
    ann.said("Version 0 found")
    replaced = ann.lesions
    for before in (added, ["Lesion 1"], []):
        ann.key("Ctrl+z")
        assert ann.lesions == before
    ann.key("Ctrl+z")
    ann.said("There is nothing to undo.")
    for after in (["Lesion 1"], added):
        ann.key("Ctrl+Shift+z")
        assert ann.lesions == after
    ann.key("Ctrl+y")
    assert ann.lesions == replaced


def test_every_tool_and_key(ann: Page) -> None:
    ann.open("cine", "No label yet.")
    at = "document.getElementById('at').textContent"
    last = ann.read(at).split()[-1]
    for key, frame in (
        ("ArrowRight", "2"), (".", "3"), ("ArrowLeft", "2"), (",", "1"), ("End", last), ("Home", "1"),
        ("Shift+ArrowRight", "11"), ("Shift+ArrowLeft", "1"),
    ):  # fmt: skip
        ann.key(key)
        assert ann.read(at) == f"{frame} of {last}", key
    ann.key(" ")
    ann.wait(f"parseInt({at}) > 3")
    ann.key(" ")
    ann.key("Home")

    middle = ann.columns / 2, ann.rows / 2
    ann.key("m")
    ann.drag(middle, (middle[0] + 50, middle[1]), (middle[0] + 100, middle[1]))
    spacing = ann.label("cine")["spacing_mm"]
    assert ann.said("The ruler") == f"The ruler: {100 * spacing[1]:.1f} mm."

    def square(left: float, top: float, side: float) -> tuple[tuple[float, float], ...]:
        return (left, top), (left + side, top), (left + side, top + side), (left, top + side)

    ann.draw(square(300, 300, 60))
    ann.key("1")
    for _ in range(4):
        ann.key(".")
    ann.draw(square(340, 320, 60))
    ann.key("i")
    assert ann.said("3 outlines") == "3 outlines in the frames between."
    ann.key(",")
    assert ann.lesions == ["Lesion 1"]
    axes = ann.wait("document.querySelector('#lesion-1 td:nth-child(2)').textContent")
    long_axis, _, _, unit = axes.split()
    assert unit == "mm"
    np.testing.assert_allclose(float(long_axis), np.hypot(*spacing) * 60, rtol=0.05)

    fitted = ann.read(f"{STAGE}.scaleX()")
    place = ann.at(320, 320)
    ann.browser.wheel(place, 2)
    ann.wait(f"{STAGE}.scaleX() > {1.3 * fitted}")
    np.testing.assert_allclose(ann.at(320, 320), place, atol=1)
    before = ann.at(0, 0)
    for more in ({"shift": True}, {"button": "middle"}):
        ann.browser.mouse(place, (place[0] + 20, place[1]), (place[0] + 40, place[1] + 10), **more)
    np.testing.assert_allclose(ann.at(0, 0), (before[0] + 80, before[1] + 20), atol=0.5)
    ann.key("f")
    assert ann.read(f"{STAGE}.scaleX()") == fitted
    look = "document.querySelector('#view canvas').style.filter"
    ann.browser.mouse(place, (place[0] + 40, place[1]), (place[0] + 400, place[1]), button="right")
    assert ann.read(look) == "brightness(1) contrast(2)"
    for _ in range(3):
        ann.key("p")
    assert "url" in ann.read(look)
    ann.key("h", hold=True)
    assert not ann.read(f"{STAGE}.children[1].visible()")
    ann.browser.release("h")
    assert ann.read(f"{STAGE}.children[1].visible()")

    ann.key("End")
    ann.key("0")
    ann.key("b")
    ann.drag((320, 320), (360, 320), (400, 320))
    assert ann.lesions == ["Lesion 2"]
    ann.key("e")
    ann.key("]")
    ann.drag((360, 300), (360, 320), (360, 340))
    parts = f"{STAGE}.children[1].find('Line').length"
    assert ann.read(parts) == 2
    ann.key("v")
    ann.drag((330, 320))
    ann.key("Delete")
    assert ann.read(parts) == 1
    ann.key("Escape")
    ann.key("d")
    ann.drag((100, 400))
    ann.drag((140, 400))
    ann.key("s")
    ann.said("An outline is not closed yet")
    ann.key("Ctrl+z")
    ann.key("Escape")
    assert ann.lesions == ["Lesion 2"]
    ann.key("?")
    assert "Undo" in ann.wait(DIALOG)
    assert ann.hindrances() == []
    ann.key("Escape")
    ann.wait(f"!({DIALOG})")
    ann.key("t")
    assert ann.read("document.documentElement.dataset.theme") == "light"
    assert ann.hindrances() == []
    ann.key("t")
    ann.choose("birads", "4A")
    ann.save()
    label = ann.label("cine")
    assert label["record"]["fields"] == {"birads": "4A"}
    assert sorted({contour["frame"] for contour in label["contours"]}) == [0, 1, 2, 3, 4, int(last) - 1]


def test_two_annotators_settle_a_conflict(ann: Page, browsers: Callable[[], Browser], page_server: Server) -> None:
    ben = Page(browsers(), page_server, "Ben")
    ben.said("'")
    for page in (ann, ben):
        page.open("phantom_0004", "No label yet.")
    ann.draw(SQUARE)
    ann.save()
    ben.draw(((40, 40), (60, 40), (60, 60), (40, 60)))
    ben.wait("document.getElementById('kept').textContent")
    ben.key("s")
    ben.answer("Ann has saved", "back")
    assert (ann.label("phantom_0004")["record"]["annotator"], ann.label("phantom_0004")["version"]) == ("Ann", 1)
    ben.said("Not saved")
    ben.key("s")
    ben.answer("Ann, version 1", "mine")
    ben.said("Saved as version 2")
    ann.draw(SQUARE)
    ann.key("s")
    ann.answer("Ben, version 2", "theirs")
    ann.said("Not saved")
    assert ann.label("phantom_0004")["version"] == 2
    kept = Path(page_server.studies) / ".bus_monai" / "labels" / "final" / "phantom_0004"
    records = [json.loads(path.read_text()) for path in sorted(kept.glob("*.json"))]
    assert [record["annotator"] for record in records] == ["Ann", "Ben"]
    assert not ben.browser.errors


def test_drafts_survive_a_reload_and_a_kill_of_the_server(ann: Page, page_server: Server) -> None:
    kept = "document.getElementById('kept').textContent"
    ann.open("phantom_0005", "No label yet.")
    ann.draw(SQUARE)
    ann.wait(kept)
    page_server.kill()
    ann.draw(((40, 40), (60, 40), (60, 60), (40, 60)))
    assert "not kept" in ann.said("The draft")
    page_server.start()
    # as another tab does, which the new address is opened in
    ann.wait(f"fetch({json.dumps(page_server.page)}).then((answer) => answer.ok)")
    ann.wait(f"{kept} === 'Draft kept'")
    ann.browser.open(page_server.page)
    # one thing at a time: the first image is opened, or said to be broken, first
    ann.wait("document.querySelector('#status')?.textContent.startsWith(\"'\")")
    ann.open("phantom_0005", "Your draft")
    assert ann.lesions == ["Lesion 1", "Lesion 2"]
    ann.key("Ctrl+z")
    assert ann.lesions == []
    ann.key("Ctrl+Shift+z")
    ann.save()
    assert ann.label("phantom_0005")["draft"] is None
    assert ann.label("phantom_0005")["record"]["seconds"] > 0


def _mask(client: Any, name: str) -> np.ndarray:
    return np.asarray(Image.open(client.download_label(name, "final")))


FRAME_TIMES = """new Promise((done) => { const gaps = []; let last = performance.now();
  const next = (now) => { gaps.push(now - last); last = now;
    if (now - begun > 3000) done(gaps.sort((a, b) => a - b)); else requestAnimationFrame(next); };
  const begun = last; requestAnimationFrame(next); })"""
"""Milliseconds between frames of the screen through three seconds, in order of size."""


@pytest.mark.slow
def test_large_images_and_long_cines_stay_fluid(
    serve: Callable[..., Server], browsers: Callable[[], Browser], tmp_path: Path
) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    Image.fromarray(make_phantom(5, (600, 800)).image).resize((4000, 3000)).save(studies / "large.png")
    cine = pydicom.dcmread(write_demo_files(tmp_path / "demo")[3])
    frames = list(generate_frames(cine.PixelData, number_of_frames=int(cine.NumberOfFrames)))
    cine.PixelData = encapsulate([frames[number % len(frames)] for number in range(300)])
    cine.NumberOfFrames = 300
    cine.save_as(studies / "long.dcm")
    page = Page(browsers(), serve(studies), "Ann")
    page.said("No label yet.")

    page.open("large", "No label yet.")
    for key in ("+", "+", "g"):
        page.key(key)
    page.read(f"window.times = {FRAME_TIMES}; 1")
    for turn in range(20):
        way = [page.at(2000 + 20 * step, 1500 + 10 * step) for step in range(10)]
        page.browser.mouse(*(way if turn % 2 else way[::-1]))
        page.browser.wheel(way[0], 1 - 2 * (turn % 2))
    times = page.read("window.times")
    assert times[len(times) // 2] < 40

    page.open("long", "No label yet.")
    at = "parseInt(document.getElementById('at').textContent)"
    fetched = "performance.getEntriesByType('resource').filter((one) => one.name.includes('image=long')).length"
    page.read("performance.setResourceTimingBufferSize(1000)")
    page.wait(f"{fetched} > 200")
    page.key(" ")
    times = page.read(FRAME_TIMES)
    page.key(" ")
    # of its own 20 frames a second, also where others use the machine
    assert 20 <= page.read(at) <= 75
    assert times[len(times) // 2] < 40
