"""Identifiers that depend on nothing but what they describe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus_monai.dicom.uids import derived_uid

PARTS = st.lists(st.text(), max_size=4)


def test_it_is_the_same_on_every_machine() -> None:
    assert derived_uid("a", "b") == "2.25.70889510646818029623684566370032734534"


@given(PARTS, PARTS)
def test_equal_parts_and_only_they_give_equal_identifiers(one: list[str], other: list[str]) -> None:
    assert (derived_uid(*one) == derived_uid(*other)) == (one == other)
    assert derived_uid(*one).is_valid
    assert len(derived_uid(*one)) <= 44


def test_parts_are_kept_apart() -> None:
    assert len({derived_uid("ab"), derived_uid("a", "b"), derived_uid("b", "a"), derived_uid("a,b")}) == 4
