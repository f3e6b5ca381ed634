"""Every key and tool of the page with real events, and its layout, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames

from bus_monai.data.demo_files import CINE_FRAMES, write_demo_files
from bus_monai.data.phantoms.ultrasound import make_phantom
from tests.label.conftest import MODEL, Server
from tests.label.page import SQUARE, STAGE, STATUS, Page, Tab, expect

Corners = tuple[tuple[float, float], ...]


def _square(left: float, top: float, side: float) -> Corners:
    return (left, top), (left + side, top), (left + side, top + side), (left, top + side)


MIDDLE = 400.0, 300.0
LESION = _square(300, 300, 60)
FRAME = "parseInt(document.getElementById('at').textContent)"
CURRENT = "document.querySelector('[aria-current=true]').textContent"
LESIONS = "[...document.querySelectorAll('#lesions button')].map((one) => one.textContent).join()"
DRAWN = f"{STAGE}.children[2].findOne('Line').points().length / 2"
CORNERS = f"{STAGE}.find('.corner').length"
TOOL = "[document.querySelector('[name=tool]:checked').value, document.getElementById('view').dataset.tool].join()"
MOVES = f"new Promise((told) => {{ const was = {FRAME}; setTimeout(() => told({FRAME} !== was), 300); }})"
FITTED = f"Math.min({STAGE}.width() / 800, {STAGE}.height() / 600)"
ZOOM = f"Math.round(100 * {STAGE}.scaleX() / {FITTED})"
BRUSH = f"{STAGE}.children[2].findOne('Circle').radius().toFixed(1)"
LOOK = """[...['brightness', 'contrast', 'gamma-value'].map((id) => document.getElementById(id).value),
  document.querySelector('#view canvas').style.filter].join()"""
FILL = f"[document.getElementById('fill').value, {STAGE}.children[1].findOne('Path').opacity()].join()"


class Pressing(NamedTuple):
    """Keys that are pressed one after the other on a cine with a lesion in its first frame.

    Args:
        name: of what they do.
        shows: an expression.
        steps: each key, and the value that the expression then takes.
        first: done before.
        last: keys that take it back, where the steps did not.
    """

    name: str
    shows: str
    steps: tuple[tuple[str, Any], ...]
    first: Callable[[Page], Any] = lambda page: None
    last: tuple[str, ...] = ()


def _begin_outline(page: Page) -> None:
    page.key("d")
    for corner in _square(500, 300, 40):
        page.drag(corner)


def _choose_outline(page: Page) -> None:
    page.key("v")
    page.drag((330, 330))


def _outline_later(page: Page) -> None:
    page.key("1")
    for _ in range(4):
        page.key(".")
    page.draw(_square(340, 320, 60))


def _watch_outlines(page: Page) -> None:
    page.read(f"window.seen = []; {STAGE}.children[1].on('visibleChange', (event) => seen.push(event.newVal)); 1")


def _draw_on_another(page: Page) -> None:
    page.open("phantom_0000")
    page.draw(SQUARE)


def _open_the_last(page: Page) -> None:
    page.choose("strategy", "first")
    page.open("phantom_0005")


TOOLS = {
    "d": "draw", "b": "brush", "e": "erase", "a": "add", "r": "remove", "x": "box", "m": "ruler", "g": "pan",
    "w": "window", "v": "edit",
}  # fmt: skip
PRESSINGS = (
    Pressing(
        "frames",
        FRAME,
        (
            ("ArrowRight", 2),
            (".", 3),
            ("ArrowLeft", 2),
            (",", 1),
            ("End", CINE_FRAMES),
            ("Home", 1),
            ("Shift+ArrowRight", 11),
            ("Shift+ArrowLeft", 1),
        ),
    ),
    Pressing("play", MOVES, ((" ", True), (" ", False))),
    Pressing(
        "interpolate", STATUS, (("i", "3 outlines in the frames between."),), _outline_later, ("Ctrl+z", "Ctrl+z")
    ),
    Pressing("tools", TOOL, tuple((key, f"{tool},{tool}") for key, tool in TOOLS.items())),
    Pressing(
        "which lesion",
        "document.getElementById('number').value",
        (*((str(number), str(number)) for number in range(1, 10)), ("0", "")),
    ),
    Pressing("zoom", ZOOM, (("+", 125), ("=", 156), ("-", 125), ("f", 100))),
    Pressing("brush", BRUSH, (("]", "14.4"), ("[", "12.0")), lambda page: page.key("b")),
    Pressing(
        "presets",
        LOOK,
        (
            ("p", "1.5,1,1,brightness(1.5) contrast(1)"),
            ("p", '1,1,1.8,brightness(1) contrast(1) url("#gamma")'),
            ("p", "1,1.7,1,brightness(1) contrast(1.7)"),
            ("p", "1,1,1,"),
        ),
    ),
    Pressing("fill", FILL, (("c", "0,0"), ("c", "0.4,0.4"), ("c", "0.15,0.15"))),
    Pressing("hide", "window.seen.join()", (("h", "false,true"),), _watch_outlines),
    Pressing("theme", "document.documentElement.dataset.theme", (("t", "light"), ("t", "dark"))),
    Pressing(
        "help", "document.querySelector('dialog[open] h2')?.textContent === 'Keys'", (("?", True), ("Escape", False))
    ),
    Pressing(
        "undo",
        LESIONS,
        (("Ctrl+z", ""), ("Ctrl+Shift+z", "Lesion 1"), ("Ctrl+z", ""), ("Ctrl+y", "Lesion 1")),
    ),
    Pressing("corners", DRAWN, (("Delete", 3), ("Backspace", 2), ("Ctrl+z", 1), ("Escape", 0)), _begin_outline),
    Pressing("close", LESIONS, (("Enter", "Lesion 1,Lesion 2"), ("Ctrl+z", "Lesion 1")), _begin_outline),
    Pressing("choose nothing", CORNERS, (("Escape", 0),), _choose_outline),
    Pressing("delete", LESIONS, (("Delete", ""), ("Ctrl+z", "Lesion 1")), _choose_outline),
    Pressing("images", CURRENT, (("PageDown", "other_0"), ("PageUp", "cine"))),
    Pressing("next", f"{CURRENT} !== 'phantom_0005' && !{STATUS}.endsWith('...')", (("n", True),), _open_the_last),
    Pressing(
        "outline", f"{STATUS}.startsWith('Version 0 found')", (("o", True),), lambda page: page.open("phantom_0005")
    ),
    Pressing("save", f"{STATUS}.startsWith('Saved as version')", (("s", True),), _draw_on_another),
)


@pytest.fixture(scope="module")
def drawn(anns_page: Page, label_python: Path) -> Page:
    """The page with a cine that has a lesion in its first frame, and the small model."""
    anns_page.open("cine", "No label yet.")
    anns_page.choose("model", MODEL)
    anns_page.draw(LESION)
    anns_page.key("v")
    return anns_page


@pytest.fixture
def cine(drawn: Page, ann: Page) -> Page:
    """That page as it was drawn."""
    if ann.read(CURRENT) != "cine":
        ann.open("cine")
    for key in ("Escape", "Home", "f", "v"):
        ann.key(key)
    assert ann.lesions == ["Lesion 1"]
    return ann


@pytest.mark.parametrize("pressing", PRESSINGS, ids=[pressing.name for pressing in PRESSINGS])
def test_each_key_does_what_the_list_says(pressing: Pressing, cine: Page) -> None:
    pressing.first(cine)
    for key, value in pressing.steps:
        cine.key(key)
        cine.wait(f"(async () => (await ({pressing.shows})) === {json.dumps(value)})()")
    for key in pressing.last:
        cine.key(key)


def test_each_key_of_the_list_is_tested_here(cine: Page) -> None:
    listed = cine.read(
        "import('./keys.js').then(({ COMMANDS }) => Object.values(COMMANDS).flatMap((one) => "
        "[one[0], ...one.slice(2)]))"
    )
    pressed = {key for pressing in PRESSINGS for key, _ in pressing.steps}
    spelled = {"+".join(part.upper() if len(part) == 1 else part for part in key.split("+")) for key in pressed}
    assert spelled == {*listed}
    cine.key("?")
    expect(cine.dialog.locator("kbd")).to_have_count(len(listed))
    assert cine.hindrances() == []
    cine.key("Escape")
    # every button and tool has a key, and says it
    commands = "[...document.querySelectorAll('[data-command]')]"
    assert cine.read(f"{commands}.every((one) => one.title.endsWith(')') && one.ariaKeyShortcuts)")


def test_the_pointer_zooms_pans_and_sets_brightness_with_any_tool(cine: Page) -> None:
    place = cine.at(320, 320)
    cine.wheel(place, 2)
    cine.wait(f"{ZOOM} > 130")
    np.testing.assert_allclose(cine.at(320, 320), place, atol=1)
    cine.wheel(place, -2)
    cine.wait(f"{ZOOM} === 100")
    before = cine.at(0, 0)
    way = place, (place[0] + 20, place[1]), (place[0] + 40, place[1] + 10)
    for more in ({"shift": True}, {"button": "middle"}):
        cine.mouse(*way, **more)
    cine.key("g")
    cine.mouse(*way)
    np.testing.assert_allclose(cine.at(0, 0), (before[0] + 120, before[1] + 30), atol=0.5)
    cine.key("f")
    cine.key("b")
    cine.mouse(place, (place[0] + 40, place[1]), (place[0] + 400, place[1]), button="right")
    assert cine.read(LOOK) == "1,2,1,brightness(1) contrast(2)"
    cine.key("w")
    cine.mouse(place, (place[0] - 40, place[1] - 40), (place[0] - 400, place[1] - 200))
    assert cine.read(LOOK).startswith("1.4,1,1,brightness(1.41")
    cine.key("p")
    assert cine.read(LOOK) == "1,1,1,"
    assert cine.read(LESIONS) == "Lesion 1"


def test_sliders(cine: Page) -> None:
    sliders = {
        "brightness": "document.querySelector('#view canvas').style.filter.match(/brightness.([0-9.]+)/)[1]",
        "contrast": "document.querySelector('#view canvas').style.filter.match(/contrast.([0-9.]+)/)[1]",
        "gamma-value": "1 / document.querySelector('#gamma [exponent]').getAttribute('exponent')",
        "fill": f"{STAGE}.children[1].findOne('Path').opacity()",
    }
    for name, shows in sliders.items():
        cine.press(f"#{name}")  # its middle
        ends = f"(one => [one.min, one.max].map(Number))(document.getElementById('{name}'))"
        middle = np.mean(cine.read(ends))
        assert float(cine.read(f"document.getElementById('{name}').value")) == pytest.approx(middle, rel=0.05)
        assert float(cine.read(shows)) == pytest.approx(middle, rel=0.05)
    cine.press("#frame")
    assert cine.read(FRAME) == pytest.approx(CINE_FRAMES / 2, abs=1)
    cine.key("Home")
    cine.press("[data-command=preset]")
    assert cine.read(LOOK) == "1,1,1,"


def test_an_outline_belongs_to_the_frame_it_was_begun_on(cine: Page) -> None:
    _begin_outline(cine)
    for key in (".", " "):
        cine.key(key)
        cine.said("An outline is not closed yet")
        assert cine.read(FRAME) == 1
    cine.key("s")
    cine.said("An outline is not closed yet")


def test_tools_draw_brush_and_measure(cine: Page) -> None:
    cine.key("m")
    cine.drag(MIDDLE, (MIDDLE[0] + 50, MIDDLE[1]), (MIDDLE[0] + 100, MIDDLE[1]))
    spacing = cine.label("cine")["spacing_mm"]
    assert cine.said("The ruler") == f"The ruler: {100 * spacing[1]:.1f} mm."
    axes = cine.wait("document.querySelector('#lesion-1 td:nth-child(2)').textContent")
    long_axis, _, _, unit = axes.split()
    assert unit == "mm"
    np.testing.assert_allclose(float(long_axis), np.hypot(*spacing) * 60, rtol=0.05)

    _outline_later(cine)
    cine.key("i")
    cine.said("3 outlines")
    cine.key(",")
    assert cine.lesions == ["Lesion 1"]
    dashed = f"{STAGE}.children[1].find('Line').map((line) => line.dash().length)"
    assert cine.read(dashed) == [2]

    cine.key("End")
    cine.key("0")
    cine.key("b")
    cine.drag((320, 320), (360, 320), (400, 320))
    assert cine.lesions == ["Lesion 2"]
    cine.key("e")
    cine.key("]")
    cine.drag((360, 300), (360, 320), (360, 340))
    parts = f"{STAGE}.children[1].find('Line').length"
    assert cine.read(parts) == 2
    cine.key("[")
    cine.key("v")
    cine.drag((330, 320))
    cine.key("Delete")
    assert cine.read(parts) == 1
    cine.key("0")
    cine.key("d")
    round_ = [(500 + 40 * np.cos(angle), 300 + 40 * np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 40)]
    cine.drag(*round_)
    assert cine.lesions == ["Lesion 2", "Lesion 3"]
    cine.choose("birads", "4A")
    cine.save()
    label = cine.label("cine")
    assert label["record"]["fields"] == {"birads": "4A"}
    assert sorted({contour["frame"] for contour in label["contours"]}) == [0, 1, 2, 3, 4, CINE_FRAMES - 1]


def test_outlines_are_hit_as_they_are_where_frames_of_the_screen_are_late(cine: Page) -> None:
    cine.drag((330, 330))
    cine.read("window.late = []; window.inTime = requestAnimationFrame; 1")
    cine.read("window.requestAnimationFrame = (draw) => late.push(draw); 1")
    for column, moved in ((300, 280), (360, 380)):
        cine.drag((column, 300), ((column + moved) / 2, 290), (moved, 280))
    places = f"{STAGE}.find('.corner').map((one) => [one.x(), one.y()].map((at) => Math.round(at - 0.5)).join())"
    assert {"280,280", "380,280"} <= {*cine.read(places)}
    cine.read("window.requestAnimationFrame = inTime; late.forEach((draw) => draw(performance.now())); 1")
    for _ in "ab":
        cine.key("Ctrl+z")


def test_next_outlines_at_once(cine: Page) -> None:
    cine.save()
    for image in cine.server.ask("GET", "/bus/images").json():
        cine.server.ask("DELETE", f"/bus/draft?image={image['id']}&annotator=Ann")
    cine.press("#at-once")
    cine.key("n")
    cine.said("Version 0 found")
    cine.press("#at-once")


@pytest.mark.parametrize("width", [1024, 1200, 1440, 1920])
def test_nothing_scrolls_sideways(cine: Page, width: int) -> None:
    """However long names and measures are."""
    cine.tab.set_viewport_size({"width": width, "height": 900})
    cine.wait("document.querySelector('#lesion-1 td:nth-child(3)').textContent")
    cine.read("document.querySelector('#lesion-1 button').textContent = 'Lesion 255'")
    for child, text in ((2, "3999 \N{MULTIPLICATION SIGN} 2999 px"), (3, "11996001 px²")):
        cine.read(f"document.querySelector('#lesion-1 td:nth-child({child})').textContent = {json.dumps(text)}")
    cine.read(f"{STATUS} = 'x'.repeat(300)")
    cine.read("document.getElementById('annotator').textContent = 'n'.repeat(60)")
    assert cine.too_wide() == []
    cine.read("document.getElementById('annotator').textContent = 'Ann'")
    for key in ("?", "#train", "#versions-of"):
        (cine.press if key.startswith("#") else cine.key)(key)
        expect(cine.dialog).to_be_visible()
        assert cine.too_wide() == []
        assert width != 1200 or cine.hindrances() == []
        cine.key("Escape")
        expect(cine.dialog).to_be_hidden()
    cine.key("t")
    assert width != 1200 or cine.hindrances() == []
    cine.key("t")


FRAME_TIMES = """new Promise((done) => { const gaps = []; let last = performance.now();
  const next = (now) => { gaps.push(now - last); last = now;
    if (now - begun > 3000) done(gaps.sort((a, b) => a - b)); else requestAnimationFrame(next); };
  const begun = last; requestAnimationFrame(next); })"""
"""Milliseconds between frames of the screen through three seconds, in order of size."""


@pytest.mark.slow
def test_large_images_and_long_cines_stay_fluid(
    serve: Callable[..., Server], browsers: Callable[[], Tab], tmp_path: Path
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
        page.mouse(*(way if turn % 2 else way[::-1]))
        page.wheel(way[0], 1 - 2 * (turn % 2))
    times = page.read("window.times")
    assert times[len(times) // 2] < 40

    page.open("long", "No label yet.")
    at = "parseInt(document.getElementById('at').textContent)"
    fetched = "performance.getEntriesByType('resource').filter((one) => one.name.includes('image=long')).length"
    page.read("performance.setResourceTimingBufferSize(1000)")
    page.wait(f"{fetched} > 200")
    page.key(" ")
    times, last = page.read(f"({FRAME_TIMES}).then((times) => [times, {at}])")
    page.key(" ")
    # of its own 20 frames a second, also where others use the machine
    assert 20 <= last <= 75
    assert times[len(times) // 2] < 40
