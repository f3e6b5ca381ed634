"""UDIAT without its table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from bus_monai.data.readers.udiat import read_udiat


def test_classes_in_folders(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["udiat"]()
    (folder / "DatasetB.xlsx").unlink()
    for part in ("original", "GT"):
        for kind, names in (("benign", ("000001", "000003")), ("malignant", ("000002", "000014"))):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.move(folder / part / f"{name}.png", folder / kind / part)
        (folder / part).rmdir()
    assert {case.id: case.diagnosis for case in read_udiat(folder)} == {
        "000001": "benign",
        "000003": "benign",
        "000002": "malignant",
        "000014": "malignant",
    }


def test_no_classes_and_a_duplicate(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["udiat"]()
    (folder / "DatasetB.xlsx").unlink()
    shutil.copy(folder / "original" / "000001.png", folder / "original" / "000014.png")
    assert [(case.diagnosis, case.group) for case in read_udiat(folder)] == [
        ("unknown", "000001"),
        ("unknown", "000002"),
        ("unknown", "000003"),
        ("unknown", "000001"),
    ]
