from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bus_monai.data.datalist import read_datalist
from bus_monai.errors import UserError
from bus_monai.label.training_data import split_groups, write_training_data
from bus_monai.source import read_masks

names = st.sets(st.integers(0, 9999), min_size=15, max_size=30).map(lambda numbers: [f"patient {n}" for n in numbers])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names)
def test_each_section_has_a_patient(groups: list[str]) -> None:
    sections = split_groups(groups)
    assert sorted(sections) == sorted(groups)
    assert set(sections.values()) == {"training", "validation", "test"}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names, names)
def test_more_labels_never_test_what_was_trained_on(first: list[str], more: list[str]) -> None:
    before, after = split_groups(first), split_groups(sorted({*first, *more}))
    trained = {group for group, section in before.items() if section == "training"}
    assert not [group for group in trained if after[group] != "training"]


def test_shares_of_many_patients() -> None:
    counts = Counter(split_groups([f"patient {n}" for n in range(2000)]).values())
    assert counts["test"] == pytest.approx(300, abs=50)
    assert counts["validation"] == pytest.approx(300, abs=50)


def test_two_patients_are_too_few() -> None:
    message = r"^All of the 2 labelled patients are held out to validate and test with: label more images\.$"
    with pytest.raises(UserError, match=message):
        split_groups(["a", "b"])


def test_labels_become_a_data_set(tmp_path: Path) -> None:
    images, labels = {}, {}
    for n in range(4):
        images[f"sub/{n}"] = tmp_path / f"{n}.png"
        Image.fromarray(np.full((6, 8), 100 + n, np.uint8)).save(images[f"sub/{n}"])
    for n in range(3):
        labels[f"sub/{n}"] = tmp_path / f"label{n}.png"
        values = np.zeros((6, 8), np.uint8)
        values[1, : n + 1] = n  # none, one lesion, the second of two
        Image.fromarray(values).save(labels[f"sub/{n}"])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    folder = tmp_path / "data"
    folder.mkdir()

    write_training_data(labels, images | {"broken": broken}, folder)

    datalist = read_datalist(folder)
    cases = [case for name in ("training", "validation", "test") for case in getattr(datalist, name)]
    areas = {case.group: int(read_masks(case.masks, (6, 8)).sum()) for case in cases}
    assert areas == {"sub/0": 0, "sub/1": 2, "sub/2": 3}
    assert [case.group for case in datalist.unlabeled] == ["sub/3"]
