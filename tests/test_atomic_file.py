"""Whole files or none, and what is said of those that could not be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from bus_monai.atomic_file import atomic_file

FULL = "No space left on device"


def fail(path: Path, *names: str | None) -> None:
    """Write half of ``path``, until the system refuses with an error of these names."""
    with atomic_file(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, FULL, *(str(partial) if name == "partial" else name for name in names))


def copy(source: Path, path: Path) -> None:
    with atomic_file(path) as partial:
        shutil.copyfile(source, partial)


@pytest.mark.parametrize("names", [(), ("partial",), ("read.png", None, "partial")])
def test_what_was_there_stays_and_the_error_names_the_file(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(OSError, match=FULL) as error:
        fail(path, *names)
    assert str(error.value) == f"[Errno 28] {FULL}: '{path}'"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "before")]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        copy(tmp_path / "gone.png", tmp_path / "copy.png")
    assert Path(error.value.filename) == tmp_path / "gone.png"
    assert list(tmp_path.iterdir()) == []
