from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus_monai.io.atomic import atomic_file
from bus_monai.label.records import Drafts, Results, client_record, mask_digest, read_record
from tests.user_errors import raises_user_error

SENT = {"annotator": "Dr. Müller-2", "origin": "edited", "model": "lite_unet", "model_version": 3, "seconds": 12}


def test_a_record_has_what_is_known_of_a_label_and_nothing_else() -> None:
    assert read_record({**SENT, "contours": []}) == {**SENT, "seconds": 12.0, "normal": False}
    drawn = read_record({**SENT, "origin": "drawn", "normal": True})
    assert (drawn["model"], drawn["model_version"], drawn["normal"]) == (None, None, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("annotator", ""),
        ("annotator", "../x"),
        ("annotator", "x" * 65),
        ("annotator", None),
        ("origin", "found"),
        ("model", None),
        ("model_version", 0.5),
        ("seconds", -1),
        ("seconds", None),
        ("normal", "yes"),
    ],
)
def test_what_is_no_record_is_refused(key: str, value: Any) -> None:
    with raises_user_error(key=key):
        read_record({**SENT, key: value})


@pytest.mark.parametrize(("client", "annotator"), [("user-xyz", "user-xyz"), ("../x", None), (None, None)])
def test_a_label_of_another_program_says_so(client: str | None, annotator: str | None) -> None:
    record = client_record({"client_id": client, "origin": "drawn", "label_info": []})
    assert record == {"client_id": client, "origin": "external client", "annotator": annotator, "label_info": []}


def test_drafts_are_apart_by_image_and_annotator(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "drafts")
    assert drafts.read("a/b", "Ann") is None
    for annotator, seconds in (("Ann", 1), ("Ben", 2), ("Ann", 3)):
        drafts.keep("a/b", annotator, {"seconds": seconds})
    kept = drafts.read("a/b", "Ann")
    assert kept is not None
    assert (kept["seconds"], kept["ts"] > 1_700_000_000) == (3, True)
    assert drafts.annotators("a/b") == ["Ann", "Ben"]
    assert drafts.annotators("a") == []
    drafts.remove("a/b", "Ann")
    drafts.remove("a/b", "Ann")
    assert (drafts.read("a/b", "Ann"), drafts.annotators("a/b")) == (None, ["Ben"])
    with raises_user_error(key="annotator"):
        drafts.keep("a/b", "../Ann", {})


def test_a_tab_leaves_the_drafts_of_others_alone(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    drafts.keep("a", "Ann", {"tab": "one", "seen": "", "seconds": 1})
    drafts.keep("a", "Ann", {"tab": "one", "seen": "", "seconds": 2})
    drafts.remove("a", "Ann", tab="two", seen="")
    with raises_user_error("Another tab"):
        drafts.keep("a", "Ann", {"tab": "two", "seen": "", "seconds": 3})
    first = drafts.read("a", "Ann")
    assert first is not None
    assert first["seconds"] == 2
    drafts.keep("a", "Ann", {"tab": "one", "seen": "", "seconds": 4})
    drafts.remove("a", "Ann", tab="two", seen=first["id"])
    later = drafts.read("a", "Ann")
    assert later is not None
    drafts.keep("a", "Ann", {"tab": "two", "seen": later["id"], "seconds": 5})
    with raises_user_error("Another tab"):
        drafts.keep("a", "Ann", {"tab": "one", "seen": "", "seconds": 6})
    drafts.remove("a", "Ann", tab="two", seen="")
    assert drafts.read("a", "Ann") is None


def test_a_draft_of_before_there_were_tabs_is_gone_on_from(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    for _ in range(2):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / "Ann.json").write_text('{"seconds": 1, "ts": 1}')
        assert drafts.read("a", "Ann") == {"seconds": 1, "ts": 1}
        drafts.keep("a", "Ann", {"tab": "one", "seen": ""})
        drafts.remove("a", "Ann")
        assert drafts.read("a", "Ann") is None
        (tmp_path / "a" / "Ann.json").write_text('{"seconds": 1, "ts": 1}')
        drafts.remove("a", "Ann", tab="one", seen="")
        assert drafts.read("a", "Ann") is None


def test_two_tabs_keep_drafts_at_once(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)

    def keep(tab: int) -> None:
        for number in range(40):
            drafts.keep("a", "Ann", {"by": tab, "number": number})
            assert drafts.read("a", "Ann") is not None

    with ThreadPoolExecutor(4) as tabs:
        list(tabs.map(keep, range(4)))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["Ann.json"]


def test_a_draft_that_was_never_whole_is_nobodys(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    drafts.keep("a", "Ann", {})
    with atomic_file(tmp_path / "a" / "Ben.json") as partial:
        partial.write_text("{")
        assert drafts.annotators("a") == ["Ann"]


def test_a_broken_draft_is_named(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    drafts.keep("a", "Ann", {})
    (tmp_path / "a" / "Ann.json").write_text("{")
    with raises_user_error(path=tmp_path / "a" / "Ann.json"):
        drafts.read("a", "Ann")


def test_results_are_known_by_their_lesions(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    found = np.zeros((2, 3, 5), np.uint8)
    found[1, 1, 2:4] = 1, 2
    assert results.find("a/b", mask_digest(found)) is None
    results.keep("a/b", mask_digest(list(found)), "lite_unet", 3)
    assert results.find("a/b", mask_digest(np.minimum(found, 1))) == {"model": "lite_unet", "model_version": 3}
    assert results.find("a/c", mask_digest(found)) is None
    found[0, 0, 0] = 1
    assert results.find("a/b", mask_digest(found)) is None
