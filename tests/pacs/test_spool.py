"""The spool keeps what it took, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.pacs.spool import IMAGE_FILE, STATES, Spool, SpoolFullError
from tests.user_errors import raises_user_error


def files(spool: Spool) -> list[str]:
    return sorted(str(path.relative_to(spool.path)) for path in spool.path.rglob("*") if path.is_file())


def test_what_goes_on_while_all_are_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glob = Path.glob
    with closing(Spool(tmp_path / "spool", 1000)) as spool:
        name = spool.receive(b"one")
        monkeypatch.setattr(Path, "glob", lambda path, pattern: [path / "gone" / IMAGE_FILE, *glob(path, pattern)])
        assert spool.names("received") == [name]


def test_from_state_to_state_and_gone(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "spool", 1000)) as spool:
        name = spool.receive(b"one")
        assert name == "7692c3ad3540bb803c020b3aee66cd88"  # printf one | sha256sum
        assert spool.receive(b"one") == name
        assert (spool.names("received"), files(spool)) == ([name], ["lock", f"received/{name}/{IMAGE_FILE}"])
        (spool.folder("received", name) / "image_seg.dcm").write_bytes(b"result")
        spool.move(name, "done")
        assert spool.receive(b"one") == name  # sent again before the results are: known
        assert spool.describe() == "0 to segment, 1 to send, 0 failed"
        spool.forget("done", name)
        assert files(spool) == ["lock"]
        assert spool.receive(b"one") == name  # and afterward: made again
        assert spool.describe() == "1 to segment, 0 to send, 0 failed"
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_what_failed_may_come_again(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 1000)) as spool:
        for _ in range(2):
            name = spool.receive(b"broken")
            spool.move(name, "failed")
        assert spool.names("failed") == [name]
        with pytest.raises(SpoolFullError):  # 6 bytes are used, not 12
            spool.receive(b"x" * 995)
        spool.receive(b"x" * 994)


def test_the_oldest_first(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 1000)) as spool:
        names = [spool.receive(str(number).encode()) for number in range(5)]
        for age, name in enumerate(names):
            os.utime(spool.folder("received", name) / IMAGE_FILE, (1000 - age, 1000 - age))
        assert spool.names("received") == names[::-1]


def test_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (flushed.append(os.fstat(handle).st_ino), real(handle)))
    with closing(Spool(tmp_path, 1000)) as spool:
        flushed.clear()
        folder = spool.folder("received", spool.receive(b"one"))
        assert flushed == [path.stat().st_ino for path in (folder / IMAGE_FILE, folder, folder.parent)]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_not_taken_where_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """It may be there all the same, but then it counts, and the sender's next try is the same one."""
    with closing(Spool(tmp_path, 3)) as spool:
        calls = [0]
        real = os.fsync

        def fsync(handle: int) -> None:
            calls[0] += 1
            if calls[0] == failing:
                raise OSError(errno.EIO, "Input/output error")
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output error"):
            spool.receive(b"one")
        assert not list((tmp_path / "partial").iterdir())
        spool.receive(b"one")
        assert len(spool.names("received")) == 1
        with pytest.raises(SpoolFullError):
            spool.receive(b"2")


def test_leftovers_of_a_kill_are_removed_and_the_rest_counts(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 10)) as spool:
        name = spool.receive(b"12345")
    for left in ("partial/tmp1", "sent/tmp2/abc"):
        (tmp_path / left).mkdir(parents=True)
        (tmp_path / left / IMAGE_FILE).write_bytes(b"half")
    with closing(Spool(tmp_path, 10)) as spool:
        assert files(spool) == ["lock", f"received/{name}/{IMAGE_FILE}"]
        with pytest.raises(SpoolFullError):
            spool.receive(b"123456")
        spool.receive(b"54321")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 10)), raises_user_error("Another process", path=tmp_path, key="--spool"):
        Spool(tmp_path, 10)
    Spool(tmp_path, 10).close()


def test_another_thread_may_close_it(tmp_path: Path) -> None:
    closer = Thread(target=Spool(tmp_path, 10).close)
    closer.start()
    closer.join()
    Spool(tmp_path, 10).close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with raises_user_error(os.strerror(errno.EEXIST), path=tmp_path / "file", key="--spool"):
        Spool(tmp_path / "file", 10)


STEPS = st.lists(
    st.tuples(st.sampled_from(["receive", "done", "failed", "forget done", "forget failed", "again"]), st.binary())
)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_size_is_that_of_the_files_after_any_steps(steps: list[tuple[str, bytes]]) -> None:
    folder = Path(tempfile.mkdtemp())
    spool = Spool(folder, 200)
    try:
        for step, content in steps:
            words = step.split()
            if step == "receive":
                used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                try:
                    spool.receive(content)
                except SpoolFullError:
                    assert used + len(content) > 200
            elif step == "again":
                spool.close()
                spool = Spool(folder, 200)
            elif words[0] == "forget":
                for name in spool.names(words[1])[:1]:  # type: ignore[arg-type]
                    spool.forget(words[1], name)  # type: ignore[arg-type]
            else:
                for name in spool.names("received")[:1]:
                    (spool.folder("received", name) / "image_sr.dcm").write_bytes(content)
                    spool.move(name, step)  # type: ignore[arg-type]
            assert spool._used == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    finally:
        spool.close()
        shutil.rmtree(folder)


def test_its_size_is_that_of_its_files(tmp_path: Path) -> None:
    """Also of what is beside an image, whichever way it goes; a new start counts the same."""

    def counted() -> int:
        return sum(
            path.stat().st_size for state in STATES for path in (spool.path / state).rglob("*") if path.is_file()
        )

    with closing(Spool(tmp_path / "spool", 10**6)) as spool:
        names = [spool.receive(bytes([number]) * 100, "SCANNER") for number in range(4)]
        assert spool.used_bytes == counted() == 4 * 107
        for name, state in zip(names, ("done", "failed", "done"), strict=False):
            (spool.folder("received", name) / "image_sr.dcm").write_bytes(bytes(50))
            spool.move(name, state)
        assert spool.used_bytes == counted() == 4 * 107 + 150
        spool.forget("done", names[0])
        spool.forget("received", names[3])
        assert spool.used_bytes == counted() == 2 * 157
    with closing(Spool(tmp_path / "spool", 10**6)) as again:
        assert again.used_bytes == 2 * 157
