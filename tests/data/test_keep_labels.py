"""Few labels out of many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.keep_labels import keep_labels
from bus_monai.data.protocols import apply_protocol
from bus_monai.errors import UserError


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


def test_a_set_without_unlabelled_images_gets_the_papers_share_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    few = keep_labels(Datalist(training=cases(80), synthetic=True), None)
    assert (len(few.training), len(few.unlabeled), few.synthetic) == (15, 65, True)
    assert caplog.messages == [
        "The data set has no unlabelled images: only 15 of 80 training images keep their masks; give labeled_fraction "
        "for another share, 1 for all."
    ]


def test_normal_images_have_their_label_without_a_mask() -> None:
    normal = [replace(case, masks=(), diagnosis="normal") for case in cases(20)]
    assert len(keep_labels(Datalist(unlabeled=normal), 1).training) == 20


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), "half"])
def test_a_wrong_share_is_one_sentence(fraction: object) -> None:
    with pytest.raises(UserError) as caught:
        keep_labels(Datalist(training=cases(9)), fraction)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"labeled_fraction is {fraction!r}: give a share above 0 and up to 1, or null for the sections of the data set."
    )
