"""What a file may ask for, the sentence where it asks for more, and alarms."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from bus_monai.io.budget import Alarms, Budget
from tests.user_errors import check_names, raises_user_error
from tests.waiting import PATIENCE_S, wait_until

PATH = Path("a.dcm")


def test_what_is_just_allowed_passes_and_one_more_is_named() -> None:
    budget = Budget(pixels=12, frames=4, file_pixels=24, file_bytes=5, elements=6)
    budget.check_frames(PATH, 2, 3, 4)
    budget.check_frames(PATH, 4, 2, 3)
    budget.check_bytes(PATH, 5)
    budget.check_elements(PATH, 6)
    with raises_user_error("13 x 1", 12, path=PATH, key="BUS_MONAI_MAX_PIXELS"):
        budget.check_frames(PATH, 1, 13, 1)
    with raises_user_error("5 frames", 4, path=PATH, key="BUS_MONAI_MAX_FRAMES"):
        budget.check_frames(PATH, 5, 1, 1)
    with raises_user_error("36 pixels", "3 frames", 24, path=PATH, key="BUS_MONAI_MAX_FILE_PIXELS"):
        budget.check_frames(PATH, 3, 3, 4)
    with raises_user_error(5, path=PATH, key="BUS_MONAI_MAX_FILE_BYTES"):
        budget.check_bytes(PATH, 6)
    with raises_user_error(6, path=PATH, key="BUS_MONAI_MAX_ELEMENTS"):
        budget.check_elements(PATH, 7)
    check_names(budget.too_slow(PATH), 900, path=PATH, key="BUS_MONAI_MAX_FILE_SECONDS")
    check_names(budget.too_big(PATH), "1,000,000,000", path=PATH, key="BUS_MONAI_MAX_MEMORY_BYTES")


@pytest.mark.parametrize(("frames", "rows", "columns"), [(1, 0, 4), (1, 3, -1), (0, 3, 4)])
def test_no_pixel_and_no_frame_are_refused(frames: int, rows: int, columns: int) -> None:
    with raises_user_error(path=PATH):
        Budget().check_frames(PATH, frames, rows, columns)


@pytest.mark.parametrize(
    "name", ["pixels", "frames", "file_pixels", "file_bytes", "elements", "file_seconds", "memory_bytes"]
)
def test_the_environment_sets_each_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"BUS_MONAI_MAX_{name.upper()}"
    monkeypatch.setenv(variable, "7")
    assert Budget.current() == Budget(**{name: 7})
    for text in ("0", "-1", "1.5", "many"):
        monkeypatch.setenv(variable, text)
        with raises_user_error(f"'{text}'", key=variable):
            Budget.current()


def test_alarms_ring_in_the_order_of_their_times_and_stopped_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0  # stands still, so that they are all set before the first rings
    monkeypatch.setattr("bus_monai.io.budget.time", SimpleNamespace(monotonic=lambda: now))
    alarms, rung, done = Alarms(), [], Event()
    last = alarms.set(done.set, 0.3)
    stopped = alarms.set(lambda: rung.append("stopped"), 0.05)
    alarms.stop(stopped)
    alarms.set(lambda: rung.append("second"), 0.1)
    alarms.set(lambda: rung.append("third"), 0.12)
    alarms.set(lambda: rung.append("first"), 0.02)
    assert rung == []
    now = 0.06
    wait_until(lambda: rung)
    assert rung == ["first"]
    now = 0.2
    wait_until(lambda: len(rung) > 2)
    assert (rung, done.is_set(), alarms.is_set(last)) == (["first", "second", "third"], False, True)
    now = 0.3
    assert done.wait(PATIENCE_S)
    alarms.stop(last)
    assert rung == ["first", "second", "third"]
    assert not alarms.is_set(last)


def test_an_alarm_that_is_set_when_all_others_have_rung_rings_too() -> None:
    alarms = Alarms()
    for _ in range(3):
        rung = Event()
        alarms.set(rung.set, 0)
        assert rung.wait(PATIENCE_S)
    thread = alarms._thread
    alarms.stop(alarms.set(rung.clear, 900))
    assert alarms._thread is thread
