"""The page for labeling, in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.label.label_file import fill_contours
from tests.label.browser import Browser
from tests.label.conftest import MODEL, Server, fill_studies

BOX = "(b => [b.x, b.y, b.width, b.height])(document.querySelector('#view img').getBoundingClientRect())"
DOUBLE_CLICK_S = 0.4
"""Two clicks that are nearer in time end a drawing."""
OUTLINES = "document.querySelectorAll('.a9s-annotation').length"


@pytest.fixture
def browser(chromium: str, tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(chromium, tmp_path / "profile")
    yield browser
    browser.close()


def _said(browser: Browser, start: str) -> str:
    text = "document.getElementById('status').textContent"
    return str(browser.wait(f"{text}.startsWith({json.dumps(start)}) && {text}"))


def _at(browser: Browser, column: float, row: float) -> tuple[float, float]:
    """Return where on the screen the middle of a pixel of the image of 64 x 64 is."""
    left, top, width, height = browser.read(BOX)
    return left + (column + 0.5) * width / 64, top + (row + 0.5) * height / 64


def test_an_image_is_segmented_changed_and_submitted(
    label_python: Path,
    serve: Callable[..., Server],
    small_phantoms: Path,
    small_weights: Path,
    tmp_path: Path,
    browser: Browser,
) -> None:
    studies = fill_studies(tmp_path / "studies", small_phantoms)
    # those that are smaller do not look like ultrasound to the model that ships
    Image.fromarray(make_phantom(8, (160, 200)).image).save(studies / "phantom_0002.png")
    server = serve(studies, "--bundles", f"{MODEL}=baseline:{small_weights},lite_unet")
    client = server.client()
    browser.open(f"{server.url}/bus/")
    assert "token" in browser.wait("document.body?.innerText")
    browser.open(server.page)
    assert browser.wait("document.querySelector('#count')?.textContent") == "0 of 7 labeled"
    assert browser.read("location.href") == f"{server.url}/bus/"
    assert browser.read("document.cookie") == ""
    # the first image by name cannot be read
    assert ".png'" in _said(browser, "'")
    browser.press("#next")
    _said(browser, "No label yet.")

    browser.press("#infer")
    _, params = client.infer(MODEL, "phantom_0000", {"tolerance": 0.9})
    assert _said(browser, "Version 0 found") == f"Version 0 found {len(params['label_names'])}."
    assert browser.read(OUTLINES) == len(params["contours"])
    browser.press("#submit")
    assert _said(browser, "Saved") == "Saved as version 1 of the label of phantom_0000."
    np.testing.assert_array_equal(_label(client, "phantom_0000"), fill_contours(params["contours"], (1, 64, 64))[0])

    browser.press("#next")
    _said(browser, "No label yet.")
    assert browser.read("document.querySelector('[aria-current=true]').textContent") == "phantom_0001"
    browser.press("[value=draw]")
    for corner in ((10, 10), (30, 10), (30, 30), (10, 30), (10, 10)):
        browser.mouse(_at(browser, *corner))
        time.sleep(DOUBLE_CLICK_S)
    browser.press("[value=edit]")
    browser.mouse(_at(browser, 20, 20))
    browser.wait("document.querySelectorAll('.a9s-handle').length === 4")
    browser.mouse(_at(browser, 10, 10), _at(browser, 8, 8), _at(browser, 5, 5))
    browser.read("(n => { n.value = 3; n.onchange(); })(document.getElementById('number'))")

    browser.press("[value=lesion]")
    browser.mouse(_at(browser, 50, 20))
    assert _said(browser, "1 click") == "1 click"
    browser.mouse(_at(browser, 48, 20))
    _said(browser, "2 clicks")
    browser.press("#undo")
    browser.wait("document.getElementById('status').textContent === ''")
    browser.press("[value=background]")
    browser.mouse(_at(browser, 40, 60))
    _said(browser, "2 clicks")
    browser.press("[value=box]")
    browser.mouse(_at(browser, 35, 40), _at(browser, 40, 50), _at(browser, 54, 59))
    _said(browser, "Filled")
    browser.press("#submit")
    _said(browser, "Saved")
    label = _label(client, "phantom_0001")
    assert set(label[10:30, 11:29].ravel()) == set(label[7, [7, 8]]) == {3}
    assert label[20, 50] == 1
    assert label[50, 45] == 2
    assert browser.read("document.querySelector('#count').textContent") == "2 of 7 labeled"

    browser.press("#train")
    training = "document.getElementById('training').textContent"
    browser.wait(f"{training} === 'Training of {MODEL}: it starts'")
    browser.press("#next")
    _said(browser, "No label yet.")
    assert browser.wait(f"!document.getElementById('train').disabled && {training}") == (
        "bus-monai: All of the 2 labeled patients are held out to validate and test with: label more images."
    )

    # a model with operating points lets one choose among them
    assert browser.read("document.getElementById('find').hidden")
    browser.read("(n => { n.value = 'lite_unet'; n.onchange(); })(document.getElementById('model'))")
    points = "[...document.getElementById('sensitivity').options].map((one) => one.value).join()"
    assert browser.read(points) == "balanced,high,specific"
    browser.read("document.getElementById('sensitivity').value = 'high'")
    browser.press("#infer")
    found = _said(browser, "Version 0 found")
    counts = {
        point: len(client.infer("lite_unet", "phantom_0002", {"sensitivity": point})[1]["label_names"])
        for point in ("high", "specific")
    }
    assert found == f"Version 0 found {counts['high']}."
    assert counts["high"] >= counts["specific"]
    assert not browser.errors


def _label(client: Any, name: str) -> np.ndarray:
    return np.asarray(Image.open(client.download_label(name, "final")))
