"""``datalist.json``: round trip, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from bus_monai.data.datalist import (
    Case,
    CaseField,
    Datalist,
    check_fields,
    read_datalist,
    read_fields,
    split_by_group,
    write_datalist,
)
from bus_monai.data.protocols import PROTOCOLS, RDAU_SHARES, apply_protocol
from tests.user_errors import raises_user_error

stacks = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "a_mask"):
        Image.fromarray(np.full((4, 4), len(name), np.uint8)).save(tmp_path / f"{name}.png")
    a = Case("a", tmp_path / "a.png", (tmp_path / "a_mask.png",), "g1", "benign")
    b = Case("b", tmp_path / "b.png", (), "g2", "normal")
    write_datalist(tmp_path, Datalist(training=[a], test=[b]))
    return tmp_path


def test_round_trip(folder: Path) -> None:
    datalist = read_datalist(folder)
    assert [case.id for case in datalist.training] == ["a"]
    assert datalist.training[0].masks == (folder / "a_mask.png",)
    assert datalist.test[0].diagnosis == "normal"
    assert not datalist.synthetic


def test_digest_sees_a_changed_pixel_and_nothing_else(folder: Path) -> None:
    before = read_datalist(folder).digest
    (folder / "other.txt").write_text("x")
    assert read_datalist(folder).digest == before
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(folder / "a.png")
    assert read_datalist(folder).digest != before


def test_what_is_tracked_holds_no_path(folder: Path) -> None:
    assert str(folder) not in json.dumps(read_datalist(folder).to_dict())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c["training"][0].update(image="../out.png"), ["training[0]", "../out.png", "outside"]),
        (lambda c: c["training"][0].update(image="/etc/passwd"), ["training[0]", "/etc/passwd", "outside"]),
        (lambda c: c["training"][0].update(image="none.png"), ["training[0]", "none.png"]),
        (lambda c: c["training"][0].pop("group"), ["training[0]", "group"]),
        (lambda c: c["training"][0].update(diagnosis="good"), ["training[0]", "diagnosis", "good", "benign"]),
        (lambda c: c["test"][0].update(id="a"), ["id", "'a'"]),
        (lambda c: c["test"][0].update(group="g1"), ["group", "g1", "training", "test"]),
        (lambda c: [c.pop("training"), c.pop("test")], ["training", "validation", "test", "unlabeled"]),
        (lambda c: c.update(trainning=c["training"]), ["trainning", "training", "validation"]),
        (lambda c: c.update(validation=None), ["validation"]),
        (lambda c: c["training"][0].update(masks="a_mask.png"), ["training[0]", "masks"]),
        (lambda c: c["training"][0].update(masks=[3]), ["training[0]", 3]),
        (lambda c: c["training"][0].update(image=None), ["training[0]", None]),
        (lambda c: c["training"][0].update(id="../a"), ["training[0]", "id", "../a"]),
        (lambda c: c["training"][0].update(group=None), ["training[0]", "group", None]),
    ],
)
def test_a_wrong_entry_is_named(folder: Path, change: Callable[[Any], Any], named: list[object]) -> None:
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with raises_user_error(*named, path=path):
        read_datalist(folder)


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "datalist.json").write_text("{")
    with raises_user_error(path=folder / "datalist.json"):
        read_datalist(folder)


def test_other_entries_of_the_decathlon_layout_are_free(folder: Path) -> None:
    path = folder / "datalist.json"
    content = json.loads(path.read_text()) | {"labels": {"1": "lesion"}, "modality": ["US"], "numTraining": 1}
    path.write_text(json.dumps(content))
    assert [case.id for case in read_datalist(folder).training] == ["a"]


def test_paths_are_written_relative_to_a_relative_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datalist = read_datalist(folder)
    monkeypatch.chdir(folder.parent)
    written = json.loads(write_datalist(Path(folder.name), datalist).read_text())
    assert written["training"][0]["image"] == "a.png"
    assert read_datalist(folder) == datalist


def test_a_file_outside_of_the_folder_is_not_written(folder: Path) -> None:
    (folder / "sub").mkdir()
    with raises_user_error(folder / "sub", path=folder / "a.png"):
        write_datalist(folder / "sub", read_datalist(folder))


SHARES = {"training": 7, "validation": 1, "test": 2}

cases_strategy = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["benign", "malignant", "normal"])), min_size=60, max_size=200
).map(lambda rows: [Case(f"c{i}", Path(f"{i}.png"), (), f"g{g}", d) for i, (g, d) in enumerate(rows)])


@settings(max_examples=60, deadline=None)
@given(cases=cases_strategy, seed=st.integers(0, 5))
def test_groups_stay_together_and_nothing_is_lost(cases: list[Case], seed: int) -> None:
    assume(len({case.group for case in cases}) >= len(SHARES))
    sections = split_by_group(cases, SHARES, seed=seed)
    homes = {case.group: name for name, members in sections.items() for case in members}
    assert all(homes[case.group] == name for name, members in sections.items() for case in members)
    assert sorted(c.id for members in sections.values() for c in members) == sorted(c.id for c in cases)
    assert split_by_group(cases[::-1], SHARES, seed=seed) == sections


def singles(benign: int, malignant: int) -> list[Case]:
    diagnoses = ["benign"] * benign + ["malignant"] * malignant
    return [Case(f"c{i:04d}", Path(f"{i}.png"), (), f"g{i}", d) for i, d in enumerate(diagnoses)]  # type: ignore[arg-type]


def test_the_papers_proportions_come_out_to_one_image() -> None:
    datalist = apply_protocol("rdau", singles(437, 208), 0)
    for name, wanted in RDAU_SHARES.items():
        assert abs(len(getattr(datalist, name)) - wanted) <= 1
    for name, cases in datalist.sections():
        share = Counter(case.diagnosis for case in cases)["malignant"] / len(cases)
        assert share == pytest.approx(208 / 645, abs=0.02), name


def test_normal_images_are_left_out_of_rdau() -> None:
    cases = [*singles(30, 20), Case("n", Path("n.png"), (), "n", "normal")]
    assert sum(len(c) for _, c in apply_protocol("rdau", cases, 0).sections()) == 50


def test_another_seed_gives_another_split() -> None:
    one, two = (split_by_group(singles(60, 40), RDAU_SHARES, seed=s)["test"] for s in (0, 1))
    assert one != two


def test_too_few_groups_and_unknown_protocols_are_named() -> None:
    with raises_user_error(2, 3):
        split_by_group(singles(1, 1), SHARES)
    with raises_user_error("'x'", *PROTOCOLS, key="protocol"):
        apply_protocol("x", singles(5, 5), 0)


FIELD = {"name": "margin", "title": "Margin", "values": ["circumscribed", "indistinct"]}


def test_fields_are_asked_in_the_words_of_birads_unless_the_folder_has_its_own(tmp_path: Path) -> None:
    ours = read_fields(tmp_path)
    assert [field["name"] for field in ours] == [
        "birads", "shape", "orientation", "margin", "echo_pattern", "posterior_features", "diagnosis", "laterality",
        "quality", "comment",
    ]  # fmt: skip
    assert {"benign", "malignant", "normal"} == set(next(f["values"] for f in ours if f["name"] == "diagnosis") or ())
    (tmp_path / "fields.json").write_text(json.dumps([FIELD]))
    assert read_fields(tmp_path) == [FIELD]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        json.dumps([FIELD, FIELD]),
        json.dumps([FIELD] * 51),
        json.dumps([FIELD | {"name": "Margin"}]),
        json.dumps([FIELD | {"name": "../margin"}]),
        json.dumps([FIELD | {"title": ""}]),
        json.dumps([FIELD | {"values": "abc"}]),
        json.dumps([FIELD | {"values": [1]}]),
        json.dumps([FIELD | {"values": ["x" * 201]}]),
        json.dumps([FIELD | {"more": 1}]),
        json.dumps([{"name": "margin", "title": "Margin"}]),
        "[" * 100_000,
    ],
)
def test_what_is_no_list_of_fields_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "fields.json").write_text(content)
    with raises_user_error(path=tmp_path / "fields.json"):
        read_fields(tmp_path)


def test_values_are_of_their_fields() -> None:
    fields: list[CaseField] = [
        {"name": "margin", "title": "Margin", "values": ["circumscribed"]},
        {"name": "comment", "title": "Comment", "values": None},
    ]
    sent = {"margin": "circumscribed", "comment": "near the nipple"}
    assert check_fields(sent, fields) == sent
    assert check_fields({"margin": "", "comment": None}, fields) == check_fields(None, fields) == {}
    for wrong, key in (
        ({"margins": "circumscribed"}, "fields"),
        ({"margin": "round"}, "margin"),
        ({"margin": ["circumscribed"]}, "margin"),
        ({"comment": 7}, "comment"),
        ({"comment": "x" * 4001}, "comment"),
        (["margin"], "fields"),
    ):
        with raises_user_error(key=key):
            check_fields(wrong, fields)
