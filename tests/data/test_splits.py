"""No group straddles a split, whatever the cases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bus_monai.data.case import Case
from bus_monai.data.protocols import PROTOCOLS, apply_protocol
from bus_monai.data.protocols.rdau import SHARES as RDAU_SHARES
from bus_monai.data.splits import split_by_group
from bus_monai.errors import UserError

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
    with pytest.raises(UserError, match=r"^2 groups cannot be split into 3 sections: give a data set"):
        split_by_group(singles(1, 1), SHARES)
    with pytest.raises(UserError, match=rf"^protocol is 'x': use one of {', '.join(PROTOCOLS)}\.$"):
        apply_protocol("x", singles(5, 5), 0)
