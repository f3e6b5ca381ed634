"""A set of phantoms is written whole or not at all, and once into the cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms import ultrasound as phantoms
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.data.phantoms.ultrasound import Phantom, make_phantom, phantom_dataset, write_phantoms
from tests.user_errors import raises_user_error


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        write_phantoms(folder, count=6, size=(64, 64), seed=2)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    one, two = contents(tmp_path / "a" / "set"), contents(tmp_path / "b" / "set")
    assert one == two
    assert len(one) > 12


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    folder = write_phantoms(tmp_path / "set", count=3, size=(64, 64))
    assert folder.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        write_phantoms(tmp_path / "set", count=3, size=(64, 64))
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "mine.txt"]


def test_interrupted_generation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seed: int, size: tuple[int, int]) -> Phantom:
        if seed == 3:
            raise KeyboardInterrupt
        return make_phantom(seed, size)

    monkeypatch.setattr(phantoms, "make_phantom", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", count=5, size=(64, 64))
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_the_loser_takes_the_winners_folder(tmp_path: Path) -> None:
    winner = write_phantoms(tmp_path / "set", count=4, size=(64, 64))
    stamp = (winner / "datalist.json").stat().st_mtime_ns
    assert write_phantoms(tmp_path / "set", count=4, size=(64, 64)) == winner
    assert (winner / "datalist.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("lost", ["datalist.json", "images/phantom_0002.png"])
def test_cached_set_that_lost_a_file_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    folder = phantom_dataset(count=4, size=(64, 64))
    before = (folder / lost).read_bytes()
    (folder / lost).unlink()
    assert phantom_dataset(count=4, size=(64, 64)) == folder
    assert (folder / lost).read_bytes() == before
    assert list(tmp_path.iterdir()) == [folder]


def test_many_at_a_time_share_one_cached_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: phantom_dataset(count=6, size=(64, 64)), range(4)))
    assert list(tmp_path.iterdir()) == list(folders)
    assert sum(len(cases) for _, cases in read_datalist(folders.pop()).sections()) == 6


def test_cache_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "file"))
    with raises_user_error(key="BUS_MONAI_CACHE"):
        phantom_dataset(count=4, size=(64, 64))


def test_too_few_are_said_and_leave_nothing(tmp_path: Path) -> None:
    with raises_user_error(2, 3):
        write_mammo_phantoms(tmp_path / "set", count=2, size=(64, 64))
    assert list(tmp_path.iterdir()) == []
