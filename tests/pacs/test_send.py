"""Results go out once the destination takes them, whatever it did before."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt

from bus_monai.pacs import send
from bus_monai.pacs import spool as backoff
from bus_monai.pacs.address import NodeAddress
from bus_monai.pacs.send import ResultSender
from bus_monai.pacs.spool import IMAGE_FILE, Backoff, Spool, State
from tests.free_port import free_port
from tests.pacs.certificates import Authority
from tests.pacs.serving import images
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(backoff, "MAX_PAUSE_S", 0.1)
    caplog.set_level(logging.INFO, "bus_monai")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Three instances that are done, each with two results."""
    with closing(Spool(tmp_path / "spool", 10**9)) as spool:
        for path in images(tmp_path / "in", 3):
            name = spool.receive(path.read_bytes())
            for kind in ("seg", "sr"):
                data = pydicom.dcmread(path)
                data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
                data.SeriesDescription = f"{name} {kind}"
                data.save_as(spool.folder("received", name) / f"image_{kind}.dcm")
            spool.move(name, "done")
        yield spool


class Destination:
    """A node that answers as it is told, and keeps what it stored."""

    def __init__(self, answer: Callable[[str, Any], int] = lambda what, event: 0) -> None:
        self.stored: list[str] = []
        self.answer, self.port = answer, free_port()
        self.address = NodeAddress("THERE", "127.0.0.1", self.port)

    @contextmanager
    def up(self, tls: Any = None, *, syntaxes: Any = None) -> Iterator[None]:
        entity = AE("THERE")
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, syntaxes or context.transfer_syntax)
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, ssl_context=tls, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        yield
        assert server is not None
        server.shutdown()

    def _store(self, event: Any) -> int:
        what = event.dataset.SeriesDescription
        status = self.answer(what, event)
        if status == 0:
            self.stored.append(what)
        return status


def run(sender: ResultSender, until: Callable[[], bool]) -> None:
    stop = Event()
    thread = Thread(target=sender.run, args=(stop,))
    thread.start()
    try:
        wait_until(until)
    finally:
        stop.set()
        thread.join()
    assert until()


def test_down_and_then_up(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    there, names = Destination(), spool.names("done")
    sender = ResultSender(spool, there.address, "BUSMONAI")
    run(sender, lambda: caplog.text.count("cannot be reached") > 2)
    assert f"{there.address} cannot be reached (no connection): the results of 3 instances wait" in caplog.text
    assert spool.describe() == "0 to segment, 3 to send, 0 failed"
    with there.up():
        run(sender, lambda: not spool.names("done"))
    assert there.stored == [f"{name} {kind}" for name in names for kind in ("seg", "sr")]
    for name in names:
        assert f"{name}: 2 objects sent to {there.address}" in caplog.text


def test_a_failing_disk_is_waited_for(
    spool: Spool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, send_some, failures = Destination(), ResultSender.send_some, [1, 2]

    def fail_twice(self: ResultSender, stop: Event) -> int:
        if failures:
            failures.pop()
            raise OSError(5, "Input/output error")
        return send_some(self, stop)

    monkeypatch.setattr(ResultSender, "send_some", fail_twice)
    with there.up():
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: not spool.names("done"))
    assert caplog.text.count("Sending failed (OSError)") == 2
    assert len(there.stored) == 6


def test_one_that_is_refused_holds_up_nobody_and_is_tried_again(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    first, *others = spool.names("done")
    refusals = [0]

    def refuse(what: str, event: Any) -> int:
        refusals[0] += what == f"{first} sr"
        return 0xA900 if what == f"{first} sr" and refusals[0] < 3 else 0

    there = Destination(refuse)
    with there.up():
        sender = ResultSender(spool, there.address, "BUSMONAI")
        assert sender.send_some(Event()) == 2
        assert f"{first}: {there.address} does not store the results (it answers 0xA900)" in caplog.text
        assert spool.names("done") == [first]
        run(sender, lambda: not spool.names("done"))
    assert refusals[0] == 3
    assert set(there.stored[1:5]) == {f"{name} {kind}" for name in others for kind in ("seg", "sr")}


def test_a_destination_that_refuses_every_second_try_gets_each_object_once(spool: Spool) -> None:
    """Each instance has two objects, so that one that begins anew meets the refusal at its second forever."""
    names, tries = spool.names("done"), count(1)
    there = Destination(lambda what, event: 0xA700 if next(tries) % 2 == 0 else 0)
    with there.up():
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: not spool.names("done"))
    assert sorted(there.stored) == sorted(f"{name} {kind}" for name in names for kind in ("seg", "sr"))


def test_one_that_failed_has_its_turn_while_new_ones_come(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "MAX_INSTANCES", 1)
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.0)
    first, second, third = spool.names("done")
    refusals = iter([0xA700])
    there = Destination(lambda what, event: next(refusals, 0))
    with there.up():
        sender = ResultSender(spool, there.address, "BUSMONAI")
        assert [sender.send_some(Event()) for _ in range(3)] == [0, 2, 1]
    assert there.stored == [f"{name} {kind}" for name in (second, first, third) for kind in ("seg", "sr")]


def test_one_that_the_destination_does_not_bear_comes_last(spool: Spool) -> None:
    first, *others = spool.names("done")

    def abort(what: str, event: Any) -> int:
        if what.startswith(first):
            event.assoc.abort()
        return 0xC000 if what.startswith(first) else 0

    there = Destination(abort)
    with there.up():
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: spool.names("done") == [first])
    assert set(there.stored) == {f"{name} {kind}" for name in others for kind in ("seg", "sr")}


@pytest.mark.parametrize("kept", [0, 200])
def test_results_that_the_disk_broke_hold_up_no_others(
    spool: Spool, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    first, *others = spool.names("done")
    path = spool.folder("done", first) / "image_seg.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    there = Destination()
    with there.up():
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: spool.names("done") == [first])
    assert there.stored == [f"{name} {kind}" for name in others for kind in ("seg", "sr")]
    assert f"{first}: {there.address} does not store the results (" in caplog.text


def test_instances_without_objects_are_removed_and_hold_up_nobody(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as images without a lesion where only segmentations are written."""
    monkeypatch.setattr(send, "MAX_INSTANCES", 2)
    with_objects = spool.names("done")
    empty = [spool.receive(b"an image without a lesion, %d" % number) for number in range(4)]
    for age, name in enumerate((*empty, *with_objects)):
        state: State = "done" if name in with_objects else "received"
        os.utime(spool.folder(state, name) / IMAGE_FILE, (age, age))
    for name in empty:
        spool.move(name, "done")
    there = Destination()
    sender = ResultSender(spool, there.address, "BUSMONAI")
    assert [sender.send_some(Event()) for _ in range(2)] == [2, 2]
    assert spool.names("done") == with_objects
    assert f"{empty[0]}: no objects to send" in caplog.text
    assert "cannot be reached" not in caplog.text
    with there.up():
        assert [sender.send_some(Event()) for _ in range(2)] == [2, 1]
    assert there.stored == [f"{name} {kind}" for name in with_objects for kind in ("seg", "sr")]
    assert spool.describe() == "0 to segment, 0 to send, 0 failed"


def test_a_warning_is_stored(spool: Spool) -> None:
    there = Destination(lambda what, event: 0xB000)
    with there.up():
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: not spool.names("done"))


def test_a_destination_of_another_transfer_syntax(spool: Spool) -> None:
    there = Destination()
    with there.up(syntaxes=[ImplicitVRLittleEndian]):
        run(ResultSender(spool, there.address, "BUSMONAI"), lambda: not spool.names("done"))
    assert len(there.stored) == 6


def test_no_objects_of_this_kind(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    there = Destination()
    with there.up(syntaxes=["1.2.840.10008.1.2.4.50"]):
        assert ResultSender(spool, there.address, "BUSMONAI").send_some(Event()) == 0
    assert f"{there.address} cannot be reached (it takes no objects of this kind): the results of 3 ins" in caplog.text
    assert len(spool.names("done")) == 3


def test_tls(spool: Spool, tmp_path: Path) -> None:
    ours, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "stranger")
    there = Destination()
    for authority, address in ((stranger, "127.0.0.1"), (ours, "127.0.0.2")):
        with there.up(authority.files(address).server_context()):
            sender = ResultSender(spool, there.address, "BUSMONAI", ours.files().client_context())
            assert sender.send_some(Event()) == 0
    with there.up(ours.files().server_context()):
        assert ResultSender(spool, there.address, "BUSMONAI", ours.files().client_context()).send_some(Event()) == 3
    assert len(there.stored) == 6


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(backoff.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 1.0)
    monkeypatch.setattr(backoff, "MAX_PAUSE_S", 300.0)
    pauses = Backoff()
    assert [pauses.failed("x") for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert (pauses.is_due("x"), pauses.is_due("y"), pauses.failures("x")) == (False, True, 11)
    now[0] = 299.9
    assert not pauses.is_due("x")
    now[0] = 300.0
    assert pauses.is_due("x")
    pauses.succeeded("x")
    assert pauses.failed("x") == 1
