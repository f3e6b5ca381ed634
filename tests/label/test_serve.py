"""The label server, as MONAI Label's client uses it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bus_monai.data.label_exchange import import_masks
from bus_monai.data.readers.own_images import list_labels
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import FindInFrame, segment_frames
from bus_monai.io.opened import open_source
from bus_monai.label.contours import fill_contours
from tests.label.conftest import MODEL, Server
from tests.user_errors import check_sentence
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("label_python")
LOW = {"threshold": 0.45, "min_area": 4}
"""What the small model finds is less sure and smaller than a finding."""


def _labels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def _detail(call: Callable[[], Any]) -> str:
    """Return the sentence of a refused request."""
    from monailabel.client.client import MONAILabelClientException

    with pytest.raises(MONAILabelClientException) as caught:
        call()
    return str(json.loads(caught.value.msg.partition("Response: ")[2])["detail"])


def test_the_app_offers_its_parts(server: Server) -> None:
    info = server.client().info()
    assert {name: model["type"] for name, model in info["models"].items()} == {
        MODEL: "segmentation",
        f"{MODEL}_clicks": "deepgrow",
    }
    assert info["labels"]["lesion 1"] == 1
    assert list(info["trainers"]) == [MODEL]
    assert list(info["strategies"]) == ["random", "first", "uncertainty", "diversity"]
    assert info["trainers"][MODEL]["config"] == {"max_epochs": 10, "lr": 3e-05}
    assert info["fields"][0]["values"] == ["0", "1", "2", "3", "4A", "4B", "4C", "5", "6"]
    assert list(info["scoring"]) == ["dice", "uncertainty"]
    assert info["datastore"]["total"] == len(list(Path(server.studies).glob("*.png")))


def test_lesions_are_numbered_and_outlined(server: Server) -> None:
    image = Path(server.studies) / "phantom_0001.png"
    file, params = server.client().infer(MODEL, image.stem, LOW)
    predictor = Predictor.from_bundle("baseline", server.weights, "torch")
    with open_source(image) as source:
        expected = segment_frames(FindInFrame(predictor, LOW["threshold"], LOW["min_area"]), source).labels[0]
    assert expected.max() > 1
    np.testing.assert_array_equal(_labels(file), expected)
    numbers = set(range(1, expected.max() + 1))
    assert set(params["label_names"].values()) == numbers
    assert {contour["label"] for contour in params["contours"]} == numbers
    assert params["model_version"] == 0


def test_clicks_and_a_box_change_the_result(server: Server) -> None:
    client, name = server.client(), "phantom_0001"
    found, _ = client.infer(MODEL, name, {})
    before = _labels(found)

    def clicked(**prompts: Any) -> tuple[np.ndarray, dict[str, Any]]:
        file, params = client.infer(f"{MODEL}_clicks", name, prompts)
        return _labels(file), params

    np.testing.assert_array_equal(clicked()[0], before)
    row, column = (int(n) for n in np.argwhere(before == 0)[0])
    grown, params = clicked(foreground=[[column, row, 0]])
    assert grown[row, column]
    np.testing.assert_array_equal(clicked(clicks=[[column, row, 0, 1], [column, row, 0, 0]])[0][row, column], 0)
    assert params["model_version"] == 0
    # what was drawn so far in place of the model's result
    drawn = [{"label": 7, "frame": 0, "points": [[1.5, 1.5], [1.5, 9.5], [9.5, 9.5], [9.5, 1.5]]}]
    kept, params = clicked(contours=drawn, roi=[30, 50, 30, 50])
    assert (kept[2:10, 2:10] == 7).all()
    assert kept[40, 40] == 1
    assert {contour["label"] for contour in params["contours"]} == {1, 7}
    said = _detail(lambda: clicked(foreground=[[64, 0]]))
    check_sentence(said, "Click 1", "row 0", "column 64", "64 x 64")
    check_sentence(_detail(lambda: clicked(foreground=[[1, 1, 1]])), "frame 1", path="phantom_0001.png")


def test_two_clients_at_once(server: Server) -> None:
    names = [f"phantom_{n:04d}" for n in range(4)]
    alone = [_labels(server.client().infer(MODEL, name, LOW)[0]) for name in names]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda name: _labels(server.client().infer(MODEL, name, LOW)[0]), names))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_clients_save_at_once(server: Server, tmp_path: Path) -> None:
    def save(number: int) -> None:
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((64, 64), number, np.uint8)).save(path)
        server.client().save_label("phantom_0004", str(path), "final")

    folder = Path(server.studies) / ".bus_monai" / "labels" / "final" / "phantom_0004"
    known = set(folder.glob("*"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(save, range(1, 11)))
    kept = set(folder.glob("*.png")) - known
    assert sorted(int(_labels(path)[0, 0]) for path in kept) == list(range(1, 11))


def test_images_that_are_missing_or_broken(server: Server) -> None:
    client = server.client()
    check_sentence(_detail(lambda: client.infer(MODEL, "nothing", {})), "'nothing'", "/datastore/?output=all")
    check_sentence(_detail(lambda: client.infer(MODEL, "broken", {})), path=f"{server.studies}/broken.png")
    check_sentence(_detail(lambda: client.infer("other", "phantom_0000", {})), "'other'", MODEL, f"{MODEL}_clicks")


def test_a_broken_label_changes_nothing(server: Server, tmp_path: Path) -> None:
    client = server.client()
    good, _ = client.infer(MODEL, "phantom_0000", {})
    client.save_label("phantom_0000", good, "final")
    before = {path: path.read_bytes() for path in Path(server.studies).rglob("*") if path.is_file()}
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(good).read_bytes()[:60])
    check_sentence(_detail(lambda: client.save_label("phantom_0000", str(bad), "final")), path="phantom_0000.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(bad)
    said = _detail(lambda: client.save_label("phantom_0000", str(bad), "final"))
    check_sentence(said, "1 x 5 x 5", "1 x 64 x 64", path="phantom_0000.png")
    assert {path: path.read_bytes() for path in Path(server.studies).rglob("*") if path.is_file()} == before


def test_what_the_disk_refuses_is_said(server: Server, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "label.png")
    labels = Path(server.studies) / ".bus_monai" / "labels" / "final"
    labels.mkdir(parents=True, exist_ok=True)
    images = sorted(path.stem for path in Path(server.studies).glob("phantom_*.png"))
    image = next(name for name in images if not (labels / name).exists())
    kept = labels / image
    kept.touch()
    client = server.client()
    said = _detail(lambda: client.save_label(image, str(tmp_path / "label.png"), "final"))
    check_sentence(said, os.strerror(errno.EEXIST), path=kept)
    kept.unlink()
    client.save_label(image, str(tmp_path / "label.png"), "final")


def test_every_label_that_was_saved_is_kept(server: Server, tmp_path: Path) -> None:
    client, sent = server.client(), []
    folder = Path(server.studies) / ".bus_monai" / "labels" / "final" / "phantom_0005"
    known = len(list(folder.glob("*.png")))
    for n in range(3):
        values = np.zeros((64, 64), np.uint8)
        values[10:20, 10 : 20 + n] = 1
        sent.append(values)
        Image.fromarray(values).save(tmp_path / "label.png")
        client.save_label("phantom_0005", str(tmp_path / "label.png"), "final")
    kept = sorted(folder.glob("*.png"))[known:]
    assert [path.name for path in kept] == [f"{known + n:04d}.png" for n in (1, 2, 3)]
    for path, values in zip(kept, sent, strict=True):
        np.testing.assert_array_equal(_labels(path), values)
    np.testing.assert_array_equal(_labels(client.download_label("phantom_0005", "final")), sent[-1])


def test_imported_masks_are_shown_to_be_corrected(server: Server, truth: dict[str, np.ndarray], tmp_path: Path) -> None:
    name = "phantom_0004"
    client = server.client()
    if "final" in client.datastore()["objects"][name]["labels"]:
        server.ask("DELETE", f"/datastore/label?id={name}&tag=final")
    Image.fromarray(truth[name] * 255).save(tmp_path / f"{name}_mask.png")
    assert import_masks(tmp_path, Path(server.studies)) == (1, [])
    assert {"id": name, "labeled": False} in server.ask("GET", "/bus/images").json()
    shown = server.ask("GET", f"/bus/label?image={name}").json()
    np.testing.assert_array_equal(fill_contours(shown["contours"], (1, 64, 64))[0] > 0, truth[name] > 0)
    assert (shown["version"], shown["record"]["origin"]) == (0, "accepted")
    # saved as it is, it is a label like another, and no evidence
    sent = {**shown["record"], "contours": shown["contours"], "annotator": "ann", "seconds": 1, "replaces": 0}
    sent |= {"normal": False, "fields": {"birads": "4A"}}
    saved = server.ask("PUT", f"/bus/label?image={name}", json=sent).json()["version"]
    (label,) = [one for one in list_labels(Path(server.studies)) if one.name == name]
    assert (label.is_accepted, label.fields) == (True, {"birads": "4A"})
    refused = server.ask("PUT", f"/bus/label?image={name}", json=sent | {"fields": {"birads": "7"}, "replaces": saved})
    assert refused.status_code == 400
    check_sentence(refused.json()["detail"], key="birads")
    server.ask("DELETE", f"/datastore/label?id={name}&tag=final")
    server.ask("DELETE", f"/datastore/label?id={name}&tag=original")


def test_strategies_choose_images_without_label(server: Server, truth: dict[str, np.ndarray], tmp_path: Path) -> None:
    client = server.client()
    _save_all(client, {"phantom_0005": truth["phantom_0005"]}, tmp_path)
    unseen = Path(shutil.copy(Path(server.studies) / "phantom_0000.png", Path(server.studies) / "unseen.png"))
    done = {name for name, entry in client.datastore()["objects"].items() if "final" in entry["labels"]}
    assert "phantom_0005" in done
    chosen = [client.next_sample(strategy, {})["id"] for strategy in ("first", "random", "uncertainty", "diversity")]
    unseen.unlink()
    assert not set(chosen) & {*done, "broken"}


def test_learning_and_rolling_back(server: Server, truth: dict[str, np.ndarray], tmp_path: Path) -> None:
    client = server.client()
    _save_all(client, truth, tmp_path)
    before = client.info()["train_stats"][MODEL]
    client.train_start(MODEL, {"max_epochs": 2, "batch_size": 2})
    task = _finished(client)
    assert task["status"] == "DONE", task["details"]
    stats = client.info()["train_stats"][MODEL]
    *known, report = stats["versions"]
    assert known == before["versions"]
    number = report["version"]
    # one image is no evidence
    assert (report["comparison"]["independent"], report["activated"]) == (1, False)
    assert stats["active"] == before["active"]
    assert stats["progress"]["epoch"] == 2
    assert report["images"] == {"training": 4, "validation": 1, "test": 1}
    version = Path(server.studies) / ".bus_monai" / "models" / MODEL / f"{number:04d}"
    assert (version / "mlflow.db").is_file()

    activate = f"/bus/models/{MODEL}/activate/{number}"
    check_sentence(server.ask("POST", activate).json()["detail"], key="annotator")
    assert server.ask("POST", activate, json={"annotator": "ann"}).json() == {"active": number}
    assert server.ask("GET", "/bus/models").json()[MODEL]["activations"][-1]["by"] == "ann"
    assert client.infer(MODEL, "phantom_0001", {})[1]["model_version"] == number
    while server.ask("POST", f"/bus/models/{MODEL}/rollback").json()["active"]:
        pass
    assert client.infer(MODEL, "phantom_0001", {})[1]["model_version"] == 0
    refused = server.ask("POST", f"/bus/models/{MODEL}/rollback")
    check_sentence(refused.json()["detail"], f"'{MODEL}'")


@pytest.mark.slow
def test_killed_while_training_no_label_is_lost(server: Server, truth: dict[str, np.ndarray], tmp_path: Path) -> None:
    client = server.client()
    _save_all(client, truth, tmp_path)
    folder = Path(server.studies) / ".bus_monai" / "models" / MODEL
    known, stats = set(folder.glob("*/model.pt")), client.info()["train_stats"][MODEL]
    client.train_start(MODEL, {"max_epochs": 1000, "batch_size": 2})
    wait_until(lambda: set(folder.glob("*/model.pt")) != known)
    before = client.datastore()["objects"]
    server.kill()
    server.start()
    client = server.client()
    assert client.datastore()["objects"] == before
    assert client.info()["train_stats"][MODEL]["active"] == stats["active"]
    assert client.infer(MODEL, "phantom_0001", {})[1]["model_version"] == stats["active"]
    assert client.info()["train_stats"][MODEL]["versions"] == stats["versions"]


def _save_all(client: Any, labels: dict[str, np.ndarray], folder: Path) -> None:
    for name, values in labels.items():
        Image.fromarray(values).save(folder / "label.png")
        client.save_label(name, str(folder / "label.png"), "final")


def _finished(client: Any) -> dict[str, Any]:
    wait_until(lambda: client.train_status()["status"] not in ("SUBMITTED", "RUNNING"), client.train_status)
    return dict(client.train_status())
