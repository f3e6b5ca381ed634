"""Files are whole or not there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from bus_monai.dicom.write import write_dicom
from bus_monai.errors import UserError
from tests.dicom.objects import SINGLE, source_of


def test_what_is_written_is_read(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file(SINGLE)))
    write_dicom(dataset, tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm") == dataset
    assert list(tmp_path.iterdir()) == [tmp_path / "a.dcm"]


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.dcm"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    message = (
        f"Cannot write '{path}' (No space left on device): free space, mend the permissions of its folder, or give "
        "another folder."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        write_dicom(source_of(SINGLE), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none/a\.dcm' \(No such file or directory\): free space"):
        write_dicom(source_of(SINGLE), tmp_path / "none" / "a.dcm")
