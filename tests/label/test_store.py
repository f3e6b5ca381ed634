"""The store by itself, as several processes use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.security.test_no_file_stops_a_job import special_files
from tests.user_errors import raises_user_error

if TYPE_CHECKING:
    from bus_monai.label.store import LabelStore

Open = Callable[[], "LabelStore"]


@pytest.fixture
def open_store(label_python: Path, tmp_path: Path) -> Open:
    """Open the store of two images anew, as another process does."""
    import bus_monai.label.compatibility  # noqa: F401
    from bus_monai.label.store import LabelStore

    for name in ("a", "b"):
        Image.fromarray(np.full((4, 5), 100, np.uint8)).save(tmp_path / f"{name}.png")
    return lambda: LabelStore(tmp_path)


def _label(folder: Path, value: int) -> str:
    path = folder.parent / f"{folder.name}_{value}.png"
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(path)
    return str(path)


def test_what_others_saved_is_not_written_over(open_store: Open, tmp_path: Path) -> None:
    scoring, server = open_store(), open_store()
    server.save_label("a", _label(tmp_path, 1), "final", {"by": "annotator"})
    scoring.update_image_info("b", {"score": 1})
    server.update_label_info("a", "final", {"checked": True})
    after = open_store()
    info = after.get_label_info("a", "final")
    assert (info["by"], info["version"], info["checked"]) == ("annotator", 1, True)
    assert after.get_image_info("b")["score"] == 1
    assert after.get_unlabeled_images() == ["b"]


def test_labels_saved_at_once_are_all_kept(open_store: Open, tmp_path: Path) -> None:
    stores = [open_store() for _ in range(4)]
    given = [_label(tmp_path, value) for value in range(1, 21)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: stores[n % 4].save_label("a", given[n], "final", {}), range(20)))
    folder = tmp_path / ".bus_monai" / "labels" / "final" / "a"
    kept, records = sorted(folder.glob("*.png")), sorted(folder.glob("*.json"))
    assert [path.name for path in kept] == [f"{n:04d}.png" for n in range(1, 21)]
    assert sorted(int(np.asarray(Image.open(path))[0, 0]) for path in kept) == list(range(1, 21))
    assert [json.loads(path.read_text())["version"] for path in records] == list(range(1, 21))
    after = open_store()
    assert after.get_label_info("a", "final")["version"] == 20
    assert after.label_path("a", "final").read_bytes() == kept[-1].read_bytes()


@pytest.mark.parametrize("below", ["a/01_left", "a/20210301", "a/2021.03.01"])
def test_versions_are_numbered_by_themselves(open_store: Open, tmp_path: Path, below: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / f"{below}.png").write_bytes((tmp_path / "a.png").read_bytes())
    store = open_store()
    for image, version in ((below, 1), ("a", 1), (below, 2), ("a", 2)):
        store.save_label(image, _label(tmp_path, version), "final", {})
        assert store.label_version(image, "final") == version


def test_a_label_made_from_an_older_version_conflicts(open_store: Open, tmp_path: Path) -> None:
    from bus_monai.label.store import VersionConflictError

    store, other = open_store(), open_store()
    store.save_label("a", _label(tmp_path, 1), "final", {"annotator": "Ann"}, replaces=0)
    for wrong in (0, 2):
        with pytest.raises(VersionConflictError):
            other.save_label("a", _label(tmp_path, 2), "final", {}, replaces=wrong)
    other.refresh()
    assert other.label_version("a", "final") == 1
    assert other.get_label_info("a", "final")["annotator"] == "Ann"
    other.save_label("a", _label(tmp_path, 2), "final", {}, replaces=1)
    store.save_label("a", _label(tmp_path, 3), "final", {})
    assert (store.label_version("a", "final"), store.label_version("b", "final")) == (3, 0)


def test_new_and_removed_files_are_noticed(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    store.refresh()
    assert sorted(store.list_images()) == ["b", "c"]


def test_a_broken_list_is_named(open_store: Open, tmp_path: Path) -> None:
    open_store()
    (tmp_path / "datastore_v2.json").write_text("{")
    with raises_user_error(path=tmp_path / "datastore_v2.json"):
        open_store()


def test_special_files_are_left_out(open_store: Open, tmp_path: Path) -> None:
    special_files(tmp_path)
    assert open_store().list_images() == ["a", "b"]


@pytest.mark.parametrize(
    "entry",
    [
        {"../outside": {"image": {"ext": ".png"}}},
        {"/outside": {"image": {"ext": ".png"}}},
        {"a": {"image": {"ext": "/../../outside.png"}}},
        {"a": {"image": {"ext": ".png"}, "labels": {"../..": {"ext": ".png"}}}},
        {"a": {"image": {"ext": ".png"}, "labels": {"final": {"ext": "/../../outside.png"}}}},
    ],
)
def test_a_list_leads_to_no_file_outside(open_store: Open, tmp_path: Path, entry: dict[str, Any]) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(studies / name)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "outside.png")
    content = {"name": "x", "description": "x", "images_dir": str(tmp_path), "labels_dir": str(tmp_path)}
    (studies / "datastore_v2.json").write_text(json.dumps({**content, "objects": entry}))
    from bus_monai.label.store import LabelStore

    store = LabelStore(studies)
    assert sorted(store.list_images()) == ["a", "b"]
    assert store.image_path("a") == studies / "a.png"
    assert not store.get_labeled_images()
    assert "outside" not in json.dumps(store.json())


def test_an_image_takes_no_name_of_another_file(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    before = (tmp_path / "datastore_v2.json").read_bytes()
    given = tmp_path.parent / f"{tmp_path.name}_sent"
    given.write_bytes((tmp_path / "a.png").read_bytes())
    for name in ("datastore_v2.json", "labels/x", "../x", "x" * 201, "a/"):
        with raises_user_error():
            store.add_image(name, str(given), {})
    assert (tmp_path / "datastore_v2.json").read_bytes() == before
    assert store.add_image("c", str(given), {}) == "c"


@pytest.mark.parametrize("by_hand", ["a.png", "a.nii.gz"])
def test_a_label_that_was_put_there_by_hand_is_not_replaced(open_store: Open, tmp_path: Path, by_hand: str) -> None:
    file = tmp_path / "labels" / "final" / by_hand
    file.parent.mkdir(parents=True)
    if file.suffix == ".png":
        Image.fromarray(np.full((4, 5), 7, np.uint8)).save(file)
    else:
        nib.save(nib.Nifti1Image(np.full((5, 4), 7, np.uint8), np.eye(4)), file)
    before, store = file.read_bytes(), open_store()
    with raises_user_error(path=file.relative_to(tmp_path), key="tag"):
        store.save_label("a", _label(tmp_path, 1), "final", {})
    assert [path.name for path in file.parent.iterdir()] == [by_hand]
    assert file.read_bytes() == before
    assert not (tmp_path / ".bus_monai" / "labels").exists()
    assert store.save_label("a", _label(tmp_path, 1), "mine", {}) == "a"

    store.remove_label("a", "final")
    assert store.save_label("a", _label(tmp_path, 2), "final", {}) == "a"
    folder = tmp_path / ".bus_monai" / "labels" / "final" / "a"
    versions = sorted(path for path in folder.iterdir() if path.suffix != ".json")
    assert [path.name for path in versions] == [by_hand.replace("a", "0001", 1), "0002.png"]
    assert versions[0].read_bytes() == before
    store.save_label("a", _label(tmp_path, 3), "final", {})
    assert store.get_label_info("a", "final")["version"] == 3


def test_an_image_replaces_no_file(open_store: Open, tmp_path: Path) -> None:
    store, other = open_store(), open_store()
    given = tmp_path.parent / f"{tmp_path.name}_sent.png"
    given.write_bytes((tmp_path / "a.png").read_bytes())
    mask = tmp_path / "a_mask.png"
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(mask)
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    before = mask.read_bytes()
    other.add_image("c", str(given), {})
    for name in ("a_mask", "link", "a", "c"):
        with raises_user_error(name):
            store.add_image(name, str(given), {})
    assert mask.read_bytes() == before
    assert (tmp_path / "link.png").is_symlink()


@pytest.mark.parametrize(("name", "content"), [(".lock", "notes"), ("datastore_v2.json", "{}")])
def test_a_file_of_somebody_named_as_ours_stays(open_store: Open, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with raises_user_error(path=tmp_path / name):
        open_store()
    assert (tmp_path / name).read_text() == content


def test_who_reads_while_others_change_sees_whole_lists(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.save_label("a", _label(tmp_path, 1), "final", {})
    at_work, begun = True, Barrier(3)

    def read() -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
        seen = set()
        begun.wait()
        while at_work or not seen:
            seen.add((tuple(sorted(store.list_images())), tuple(store.get_labeled_images())))
            store.image_path("b")
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        begun.wait()
        for number in range(20):
            store.update_image_info("b", {"n": number})
            (tmp_path / "datastore_v2.json").touch()
            store.refresh()
        at_work = False
    assert set().union(*(reader.result() for reader in readers)) == {(("a", "b"), ("a",))}
    assert store.get_image_info("b")["n"] == 19
