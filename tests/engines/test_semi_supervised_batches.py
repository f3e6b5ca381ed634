"""Batches of an epoch with few labels."""

from __future__ import annotations

from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from bus_monai.engines.semi_supervised_batches import SemiSupervisedBatches, semi_supervised_batches


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_every_unlabelled_batch_once_beside_the_labelled_in_turn(known: int, unknown: int, more: int) -> None:
    length = max(known, unknown) + more
    batches = list(semi_supervised_batches(repeat(range(known)), repeat(range(unknown)), length=length))
    assert batches == [(i % known, i) for i in range(unknown)] + [(None, None)] * (length - unknown)


def test_one_kind_alone() -> None:
    empty = SemiSupervisedBatches()
    assert list(semi_supervised_batches(repeat("ab"), None, length=3)) == [("a", None), ("b", None), empty]
    assert list(semi_supervised_batches(None, repeat("xy"), length=3)) == [(None, "x"), (None, "y"), empty]
