"""Folders of people's own."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bus_monai.data.readers.catalog import recognize
from bus_monai.data.readers.folder import case_id
from bus_monai.data.readers.plain_folder import read_plain_folder
from tests.published_layouts import noise, save, square
from tests.user_errors import raises_user_error


@given(st.text())
def test_any_name_gives_an_id(stem: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", case_id(stem))


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.-])?", fullmatch=True))
def test_a_good_name_is_kept(stem: str) -> None:
    assert case_id(stem) == stem


def test_two_folders(tmp_path: Path) -> None:
    for name in ("CASE_001", "CASE_002", "x_mask"):
        save(tmp_path / "images" / f"{name}.jpg", noise(name))
        save(tmp_path / "masks" / f"{name}.png", square())
    save(tmp_path / "masks" / "CASE_002_mask_1.png", square())
    (tmp_path / "images" / ".hidden.png").touch()
    assert recognize(tmp_path).name == "plain_folder"  # type: ignore[union-attr]
    cases = read_plain_folder(tmp_path)
    assert [(case.id, [mask.name for mask in case.masks]) for case in cases] == [
        ("CASE_001", ["CASE_001.png"]),
        ("CASE_002", ["CASE_002.png", "CASE_002_mask_1.png"]),
        ("x_mask", ["x_mask.png"]),
    ]


def test_two_images_with_the_same_id_are_named(tmp_path: Path) -> None:
    for name in ("a 1", "a_1"):
        save(tmp_path / f"{name}.png", noise(name))
        save(tmp_path / f"{name}_mask.png", square())
    with raises_user_error("'a_1.png'", "'a_1'", path=tmp_path / "a 1.png"):
        read_plain_folder(tmp_path)
