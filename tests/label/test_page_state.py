"""What is outlined on the page, saved and kept, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Route

from bus_monai.label.contours import fill_contours
from tests.label.conftest import MODEL, Server
from tests.label.page import SQUARE, STAGE, Page, Tab, expect
from tests.user_errors import check_sentence


def test_an_image_is_outlined_changed_and_saved(ann: Page) -> None:
    client = ann.server.client()
    ann.open("phantom_0002", "No label yet.")
    # a model with operating points lets one choose among them
    assert ann.read("document.getElementById('find').getClientRects().length") == 0
    ann.choose("model", "lite_unet")
    points = "[...document.getElementById('sensitivity').options].map((one) => one.value).join()"
    assert ann.read(points) == "balanced,high,specific"
    ann.choose("sensitivity", "high")
    ann.key("o")
    _, params = client.infer("lite_unet", "phantom_0002", {"tolerance": 0.9, "sensitivity": "high"})
    found = params["label_names"].values()
    assert found
    assert ann.said("Version 0 found").startswith(f"Version 0 found {len(found)} lesion")
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
    ann.slow_double_click((40, 20))
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
    assert ann.read("document.querySelectorAll('li.labeled').length + ' of'") in ann.read("count.textContent")

    ann.press("#train")
    ann.answer(f"Train {MODEL}", "train")
    training = "document.getElementById('training').textContent"
    # what was accepted as the model made it counts as no evidence
    said = ann.wait(f"!document.getElementById('train').disabled && {training}")
    check_sentence(said.removeprefix("bus-monai: "), "1 patients", "label more images")


def test_nothing_is_saved_or_replaced_by_accident(ann: Page) -> None:
    ann.open("phantom_0003", "No label yet.")
    ann.key("s")
    assert "No lesion: normal?" in ann.asked()
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
    # what lies on an outline is left out, and said to be
    ann.key("o")
    ann.answer("made by hand", "add")
    assert ann.said("Version 0 found").endswith("on outlines that were there before: not added.")
    assert ann.lesions == added
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


def test_clicks_change_what_another_model_found_as_it_is_drawn(ann: Page, page_server: Server) -> None:
    address = "/bus/draft?image=phantom_0005&annotator=Ann"
    active = page_server.ask("GET", "/bus/models").json()[MODEL]["active"]
    found = {"model": MODEL, "model_version": active, "sensitivity": ""}
    clicks = {"clicks": [[50, 50, 0, 1]]}
    _, changed = page_server.client().infer(f"{MODEL}_clicks", "phantom_0005", clicks)
    remade = [f"Lesion {number}" for number in changed["label_names"].values()]
    drawn = ["Lesion 1", "Lesion 2"]
    assert len(remade) > len(drawn)
    others: list[dict[str, Any]] = [{"model": "lite_unet"}, {"model_version": active + 1}, {"sensitivity": "high"}]
    for other in ({}, *others):
        ann.open("phantom_0001")
        state = {"contours": [{"label": 1, "frame": 0, "points": SQUARE}], "base": None, "clicks": [], "roi": None}
        sent = {**state, **found, **other, "edited": False, "fields": {}, "seconds": 1, "replaces": 0}
        page_server.ask("PUT", address, json=sent).raise_for_status()
        ann.open("phantom_0005", "Your draft")
        ann.choose("model", MODEL)
        ann.key("a")
        ann.drag((50, 50))
        ann.said("1 click")
        assert ann.lesions == (drawn if other else remade), other
    ann.open("phantom_0001")
    page_server.ask("DELETE", address).raise_for_status()


def test_two_annotators_settle_a_conflict(ann: Page, browsers: Callable[[], Tab], page_server: Server) -> None:
    ben = Page(browsers(), page_server, "Ben")
    ben.said("'")
    for page in (ann, ben):
        page.open("phantom_0004", "No label yet.")
    ann.draw(SQUARE)
    ann.save()
    ben.draw(((40, 40), (60, 40), (60, 60), (40, 60)))
    expect(ben.kept).not_to_be_empty()
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
    assert not ben.errors


AROUND = ((40, 40), (60, 40), (60, 60), (40, 60))


@dataclass
class Moment:
    """What somebody does on an image when the page or the server ends.

    Args:
        draw: what is done first.
        key: pressed then, or the selector of a button.
        asks: what the dialog that opens says; without one a cine plays.
        left: the lesions that are there afterwards.
    """

    draw: Callable[[Page, str], None]
    key: str = ""
    asks: str = ""
    left: tuple[str, ...] = ("Lesion 1",)

    def go_on(self, page: Page) -> None:
        if self.key:
            (page.press if self.key.startswith("#") else page.key)(self.key)
            if self.asks:
                assert self.asks in page.asked()
            else:
                page.wait("parseInt(document.getElementById('at').textContent) > 2")

    def check(self, page: Page, image: str) -> None:
        page.open(image, "Your draft")
        if image == "cine":  # it played when the draft was kept
            page.key("Home")
        assert tuple(page.lesions) == self.left, image
        corners = page.read(f"{STAGE}.children[2].findOne('Line').points().length / 2")
        assert corners == (3 if self.draw is _corners else 0)
        assert page.read("document.querySelector('[name=birads]').value") == ("2" if self.draw is _field else "")


def _square(page: Page, image: str) -> None:
    page.draw(SQUARE)


def _corners(page: Page, image: str) -> None:
    page.key("d")
    for corner in SQUARE[:3]:
        page.drag(corner)


def _field(page: Page, image: str) -> None:
    page.choose("birads", "2")


def _erased(page: Page, image: str) -> None:
    page.draw(SQUARE)
    page.draw(AROUND)
    page.key("e")
    page.drag((45, 35), (50, 50), (55, 65))
    page.key("Ctrl+z")


def _also_ben(page: Page, image: str) -> None:
    page.draw(SQUARE)
    label = {"contours": [{"label": 1, "frame": 0, "points": AROUND}], "annotator": "Ben", "origin": "drawn"}
    sent = label | {"seconds": 1, "replaces": 0}
    page.server.ask("PUT", f"/bus/label?image={image}", json=sent).raise_for_status()


MOMENTS = {
    "other_0": Moment(_square),
    "other_1": Moment(_also_ben, "s", "Ben has saved"),
    "other_2": Moment(_square, "o", "made by hand"),
    "other_3": Moment(_field, "s", "normal?", left=()),
    "other_4": Moment(_corners, "#versions-of", "Version 0", left=()),
    "other_5": Moment(_square, "#train", "Train"),
    "other_6": Moment(_erased, "?", "Undo", left=("Lesion 1", "Lesion 2")),
    "other_7": Moment(_square, "#annotator", "Your name"),
    "cine": Moment(_square, " "),
}
"""By image."""


def test_nothing_is_lost_by_a_reload_or_a_kill_of_the_server_at_any_moment(ann: Page, page_server: Server) -> None:
    pages: dict[str, Page] = {}
    for image, moment in MOMENTS.items():
        pages[image] = page = Page(ann.tab.context.new_page(), page_server)
        page.said("'")
        page.open(image, "No label yet.")
        moment.draw(page, image)
        moment.go_on(page)
        expect(page.kept).to_have_text("Draft kept")
        page.reload()
        moment.check(page, image)
        moment.go_on(page)
    page_server.kill()
    first = pages["other_0"]
    first.front()
    first.draw(AROUND)
    assert "not kept" in first.said("The draft")
    page_server.start()
    # as another tab does, which the new address is opened in
    first.wait(f"fetch({json.dumps(page_server.page)}).then((answer) => answer.ok)")
    expect(first.kept).to_have_text("Draft kept")
    MOMENTS["other_0"].left = ("Lesion 1", "Lesion 2")
    for image, page in pages.items():
        page.reload()
        MOMENTS[image].check(page, image)
    assert first.label("other_1")["record"]["annotator"] == "Ben"
    assert first.label("other_3")["version"] == 0
    pages["other_4"].front()
    pages["other_4"].key("Enter")
    assert pages["other_4"].lesions == ["Lesion 1"]
    first.front()
    first.key("Ctrl+z")
    assert first.lesions == []
    first.key("Ctrl+Shift+z")
    first.save()
    assert first.label("other_0")["draft"] is None
    assert first.label("other_0")["record"]["seconds"] > 0
    page_server.ask("DELETE", "/bus/draft?image=cine&annotator=Ann").raise_for_status()
    for page in pages.values():
        page.tab.close()
    ann.reload()


def test_two_tabs_of_one_annotator_keep_each_others_drafts(ann: Page, page_server: Server) -> None:
    other = Page(ann.tab.context.new_page(), page_server)
    other.said("'")
    for page in (ann, other):
        page.front()
        page.open("other_8", "No label yet.")
    other.draw(SQUARE)
    expect(other.kept).to_have_text("Draft kept")
    ann.front()
    ann.draw(AROUND)
    assert "Another tab" in ann.said("The draft is not kept")
    ann.key("Ctrl+z")
    expect(ann.kept).to_have_text("")
    ann.draw(AROUND)
    ann.said("The draft is not kept")
    ann.save()
    other.reload()
    other.open("other_8", "Your draft")
    assert other.lesions == ["Lesion 1"]
    assert ann.label("other_8")["version"] == 1
    other.tab.close()
    ann.front()
    page_server.ask("DELETE", "/bus/draft?image=other_8&annotator=Ann").raise_for_status()


def test_what_is_drawn_while_the_next_image_comes_is_kept(ann: Page, page_server: Server) -> None:
    ann.open("other_9")
    drawn = len(ann.lesions)
    held = "**/bus/frame?image=other_7&*"
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    ann.tab.route(held, hold)
    ann.tab.locator("#images").get_by_text("other_7", exact=True).click()
    while not waiting:
        ann.tab.wait_for_timeout(20)
    ann.draw(AROUND)
    assert len(ann.lesions) == drawn + 1
    for route in waiting:
        route.continue_()
    ann.tab.unroute(held)
    expect(ann.tab.locator("[aria-current=true]")).to_have_text("other_7")
    ann.open("other_9", "Your draft")
    assert len(ann.lesions) == drawn + 1
    page_server.ask("DELETE", "/bus/draft?image=other_9&annotator=Ann").raise_for_status()


def _mask(client: Any, name: str) -> np.ndarray:
    return np.asarray(Image.open(client.download_label(name, "final")))
