"""Versions of a model on the page, and the training that makes them, in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import TRAINED_FILE
from bus_monai.bundle.settings import SETTINGS_FILE
from bus_monai.label.model_versions import ModelVersions
from tests.label.conftest import MODEL, Server
from tests.label.page import SQUARE, Page, expect


def test_a_version_is_activated_by_hand(ann: Page, page_server: Server, small_weights: Path) -> None:
    (model,) = parse_models([f"{MODEL}=baseline:{small_weights}"])
    versions = ModelVersions(Path(page_server.studies) / ".bus_monai" / "models" / MODEL, model)
    for advice in (False, True):
        with versions.training() as folder:
            shutil.copy(small_weights, folder / TRAINED_FILE)
            shutil.copy(small_weights.parent / SETTINGS_FILE, folder)
            report = {"activated": advice, "verdict": f"Version {folder.name} is kept, and it takes 20."}
            versions.keep(folder, report)
    ann.choose("model", MODEL)

    def choose(number: int) -> None:
        ann.press("#versions-of")
        ann.press(f"#versions [value='{number}']")
        ann.press("dialog [value=activate]")

    choose(1)
    ann.answer("advised against version 1", "back")
    ann.said("Nothing was changed.")
    choose(1)
    ann.answer("it takes 20", "activate")
    ann.said(f"Version 1 of {MODEL} is active now.")
    with versions.training():  # to be compared with the active one
        choose(0)
        ann.said(f"'{MODEL}' is being trained already")
    (activation,) = versions.info()["activations"]
    assert (activation["version"], activation["by"], activation["ts"] > 1_700_000_000) == (1, "Ann", True)
    ann.press("#versions-of")
    assert "It serves now. Activated by Ann" in ann.asked()
    assert ann.hindrances() == []
    ann.key("Escape")
    choose(2)  # as the gate would
    ann.said(f"Version 2 of {MODEL} is active now.")
    choose(0)
    ann.said(f"Version 0 of {MODEL} is active now.")


def test_a_training_shows_how_far_it_is_and_ends_where_it_is_stopped_or_learns_nothing(
    ann: Page, page_server: Server
) -> None:
    contours = [{"label": 1, "frame": 0, "points": SQUARE}]
    label = {"contours": contours, "annotator": "Ann", "origin": "drawn", "seconds": 1, "replaces": 0}
    for number in range(3):  # one to train on, to validate and to test with
        page_server.ask("PUT", f"/bus/label?image=trained_{number}", json=label).raise_for_status()
    told, bar, begin, stop = (ann.tab.locator(f"#{name}") for name in ("training", "trained", "train", "stop"))
    ann.tab.set_viewport_size({"width": 1024, "height": 700})
    ann.choose("model", MODEL)
    ann.open("phantom_0000")
    place = ann.at(0, 0)  # where somebody may be drawing meanwhile

    # how the page shows each state of a training, none of which lasts
    shown = "[told.textContent, !bar.hidden, bar.value >= 1, bar.max]"
    ann.read(f"""(([told, bar]) => {{ window.seen = []; const look = () => seen.push({shown});
      new MutationObserver(look).observe(told, {{ childList: true }}); }})
      (['training', 'trained'].map((name) => document.getElementById(name)))""")

    def train() -> None:
        begin.click()
        expect(ann.dialog.get_by_label("Epochs at most")).to_have_value("10")
        ann.dialog.get_by_label("Learning rate").fill("0")
        ann.key("Enter")
        expect(told).to_have_text(f"Training of {MODEL} (epochs at most 10, learning rate 0): it starts")
        expect(bar).to_be_in_viewport()
        expect(begin).to_be_disabled()

    train()
    stop.click()
    expect(told).to_have_text("The training was stopped.")
    expect(bar).to_be_hidden()
    expect(stop).to_be_disabled()
    train()
    _, *bars = ann.wait("seen.find(([text]) => text.includes(' of 10: validation Dice 0.'))")
    assert bars == [True, True, 10]
    assert ann.at(0, 0) == place
    assert ann.hindrances() == []
    expect(told).to_contain_text(
        "stopped by itself after epoch 4 of 10: the last 3 brought no better Dice than epoch 1."
    )
    expect(begin).to_be_enabled()
    expect(told).to_be_in_viewport(ratio=1)
    assert ann.at(0, 0) == place
    ann.press("#versions-of")
    assert told.inner_text() in ann.asked()
    ann.key("Escape")
