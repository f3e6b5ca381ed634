"""The app without a server: what it makes of all images, and of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from bus_monai.errors import UserError
from tests.label.conftest import png_of
from tests.user_errors import raises_user_error

if TYPE_CHECKING:
    from bus_monai.label.store import LabelStore


@pytest.fixture(scope="module")
def app(label_module: Callable[[str], ModuleType]) -> ModuleType:
    return label_module("main")


def test_all_images_are_segmented_but_those_that_cannot_be(
    app: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studies, found = tmp_path / "studies", tmp_path / "found.png"
    studies.mkdir()
    for name in ("a", "b"):
        (studies / f"{name}.png").write_bytes(png_of((4, 5), 100))
    store = app.LabelStore(studies)
    asked = []

    def infer(request: dict[str, Any], _: LabelStore) -> dict[str, Any]:
        asked.append((request["image"], request["save_label"], request["label_tag"]))
        if request["image"] == "a":
            raise UserError("'a.png' is broken: remove it.")
        found.write_bytes(png_of((4, 5)))
        return {"file": str(found), "params": {"lesions": 1}}

    request = {"images": "unlabeled", "label_tag": "original"}
    assert app.segment_all(request, store, infer) == {"b": {"lesions": 1}}
    assert asked == [("a", True, "original"), ("b", True, "original")]
    assert "'a.png' is broken" in capsys.readouterr().out
    assert not found.exists()
    found.write_bytes(png_of((4, 5)))
    store.save_label("b", str(found), "final", {})
    assert app.segment_all({"images": "unlabeled", "label_tag": "x"}, store, infer) == {}


def test_a_folder_with_two_images_of_one_name_is_not_labeled(app: ModuleType, tmp_path: Path) -> None:
    for file in ("case.dcm", "case.png"):
        (tmp_path / file).write_bytes(png_of())
    with raises_user_error("'case.png'", "'case'", path=tmp_path / "case.dcm"):
        app._open_store(str(tmp_path))
    (tmp_path / "case.dcm").rename(tmp_path / "other.dcm")
    assert sorted(app._open_store(str(tmp_path)).list_images()) == ["case", "other"]
