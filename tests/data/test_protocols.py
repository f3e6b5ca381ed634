"""The published protocols: their figures, and that no group ever straddles."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.data.datalist import Case, Datalist, Diagnosis
from bus_monai.data.protocols import PROTOCOLS, apply_protocol, keep_labels
from tests.user_errors import raises_user_error


def cases(count: int, prefix: str = "c", groups: int = 1000, masks: bool = True) -> list[Case]:
    names = [f"{prefix}{i:03d}" for i in range(count)]
    return [
        Case(
            name, Path(f"{name}.png"), (Path(f"{name}_m.png"),) if masks else (), f"{prefix}{i % groups}",
            "benign" if masks else "unknown",
        )
        for i, name in enumerate(names)
    ]  # fmt: skip


@given(st.integers(4, 60), st.integers(2, 20), st.floats(0, 1, exclude_min=True), st.integers(0, 3))
def test_no_image_is_lost_and_no_group_straddles(count: int, groups: int, fraction: float, seed: int) -> None:
    whole = Datalist(
        training=cases(count, groups=groups), validation=cases(3, "v"), unlabeled=cases(2, "u", masks=False)
    )
    few = keep_labels(whole, fraction, seed=seed)
    assert sorted(c.id for c in [*few.training, *few.unlabeled]) == sorted(
        c.id for c in [*whole.training, *whole.unlabeled]
    )
    assert not {c.group for c in few.training} & {c.group for c in few.unlabeled}
    assert few.training
    assert set(whole.unlabeled) <= set(few.unlabeled)
    assert few.validation == whole.validation
    assert few == keep_labels(whole, fraction, seed=seed)


@pytest.mark.parametrize(("fraction", "labeled"), [(0.05, 5), (0.15, 15), (0.3, 30), (0.5, 50), (1, 100), (1.0, 100)])
def test_the_share_is_kept(fraction: float, labeled: int) -> None:
    few = keep_labels(Datalist(training=cases(100)), fraction)
    assert (len(few.training), len(few.unlabeled)) == (labeled, 100 - labeled)


def test_it_equals_the_papers_protocol() -> None:
    every = cases(647)
    split = apply_protocol("assgan", every, 2)
    assert keep_labels(split, 0.3, seed=2) == apply_protocol("assgan:30", every, 2)
    assert keep_labels(split, None, seed=2) == split
    assert len(keep_labels(split, 1, seed=2).training) == len(split.training) + len(split.unlabeled)


def test_a_set_without_unlabeled_images_gets_the_papers_share_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    few = keep_labels(Datalist(training=cases(80), synthetic=True), None)
    assert (len(few.training), len(few.unlabeled), few.synthetic) == (15, 65, True)
    assert caplog.messages == [
        "The data set has no unlabeled images: only 15 of 80 training images keep their masks; give labeled_fraction "
        "for another share, 1 for all."
    ]


def test_normal_images_have_their_label_without_a_mask() -> None:
    normal = [replace(case, masks=(), diagnosis="normal") for case in cases(20)]
    assert len(keep_labels(Datalist(unlabeled=normal), 1).training) == 20


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), "half"])
def test_a_wrong_share_is_one_sentence(fraction: object) -> None:
    with raises_user_error(repr(fraction), 0, 1, "null", key="labeled_fraction"):
        keep_labels(Datalist(training=cases(9)), fraction)  # type: ignore[arg-type]


NAMES = ["rdau", "cgan_ac_caw", "assgan", "assgan:30", "multi_encoder", "kfold5:2", "leave_one_dataset_out:b"]


def cases_protocols(benign: int, malignant: int, normal: int) -> list[Case]:
    kinds: list[Diagnosis] = ["benign"] * benign + ["malignant"] * malignant + ["normal"] * normal
    return [Case(f"c{i:04d}", Path(f"{i}.png"), (), f"g{i}", kind) for i, kind in enumerate(kinds)]


BUSI = cases_protocols(437, 210, 133)


def sizes(protocol: str) -> dict[str, int]:
    return {name: len(part) for name, part in apply_protocol(protocol, BUSI, 0).sections()}


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("rdau", {"training": 540, "validation": 50, "test": 57}),
        ("cgan_ac_caw", {"training": 453, "validation": 65, "test": 129}),
        ("assgan", {"training": 100, "validation": 50, "test": 50, "unlabeled": 447}),
        ("assgan:5", {"training": 27, "validation": 50, "test": 50, "unlabeled": 520}),
        ("assgan:15", {"training": 82, "validation": 50, "test": 50, "unlabeled": 465}),
        ("assgan:30", {"training": 164, "validation": 50, "test": 50, "unlabeled": 383}),
        ("assgan:50", {"training": 273, "validation": 50, "test": 50, "unlabeled": 274}),
        ("multi_encoder", {"training": 624, "validation": 78, "test": 78}),
        ("kfold5", {"training": 562, "validation": 62, "test": 156}),
    ],
)
def test_the_papers_figures_come_out_to_three_images(protocol: str, expected: dict[str, int]) -> None:
    found = sizes(protocol)
    assert found.keys() == expected.keys()
    assert all(abs(found[name] - expected[name]) <= 3 for name in expected), found


def test_the_test_sets_of_the_folds_hold_each_case_once() -> None:
    tested = Counter(case.id for k in range(5) for case in apply_protocol(f"kfold5:{k}", BUSI, 0).test)
    assert set(tested.values()) == {1}
    assert len(tested) == len(BUSI)


def test_a_model_that_ships_trains_on_all_and_tests_on_none() -> None:
    split = apply_protocol("all_train", BUSI, 0)
    assert list(split.training) == BUSI
    assert set(split.validation) < set(BUSI)
    assert abs(len(split.validation) - 78) <= 3
    assert not split.test


@st.composite
def data_sets(draw: st.DrawFn) -> list[Case]:
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 60), st.sampled_from(["benign", "malignant", "normal"])), min_size=80, max_size=200
        )
    )
    # enough groups for every section, and a group is of one data set
    rows += [(100 + i, "benign") for i in range(40)]
    return [Case(f"c{i}", Path(f"{i}.png"), (), f"g{g}", d, "ab"[g % 2]) for i, (g, d) in enumerate(rows)]


@settings(max_examples=40, deadline=None)
@given(cases=data_sets(), seed=st.integers(0, 3))
@pytest.mark.parametrize("protocol", NAMES)
def test_no_group_straddles_and_nothing_comes_twice(protocol: str, cases: list[Case], seed: int) -> None:
    sections = dict(apply_protocol(protocol, cases, seed).sections())
    home: dict[str, str] = {}
    for name, part in sections.items():
        assert part, name
        for case in part:
            assert home.setdefault(case.group, name) == name
    ids = [case.id for part in sections.values() for case in part]
    assert len(ids) == len(set(ids))
    assert dict(apply_protocol(protocol, cases[::-1], seed).sections()).keys() == sections.keys()
    assert [c.id for c in apply_protocol(protocol, sorted(cases, key=lambda c: c.id), seed).training] == [
        c.id for c in sections["training"]
    ]


def test_the_data_set_left_out_is_the_test_set() -> None:
    both = [replace(case, dataset="ab"[i % 2]) for i, case in enumerate(BUSI)]
    datalist = apply_protocol("leave_one_dataset_out:a", both, 0)
    assert {case.dataset for case in datalist.test} == {"a"}
    assert len(datalist.test) == 390
    assert {case.dataset for case in [*datalist.training, *datalist.validation]} == {"b"}


@pytest.mark.parametrize(
    ("protocol", "named"),
    [
        ("x", ["'x'", *PROTOCOLS]),
        ("rdau:3", ["'rdau:3'", "rdau", "':3'"]),
        ("kfold5:5", ["'kfold5:5'", "kfold5:3", 0, 4]),
        ("kfold5:", ["'kfold5:'", "kfold5:3", 0, 4]),
        ("assgan:0", ["'assgan:0'", "assgan:5"]),
        ("leave_one_dataset_out", ["'leave_one_dataset_out'", "leave_one_dataset_out:bus_uclm"]),
        ("leave_one_dataset_out:c", ["leave_one_dataset_out", "'c'"]),
    ],
)
def test_a_wrong_name_or_parameter_is_named(protocol: str, named: list[object]) -> None:
    with raises_user_error(*named, key="protocol"):
        apply_protocol(protocol, BUSI, 0)
