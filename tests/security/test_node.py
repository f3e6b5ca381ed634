"""Who is silent locks nobody out of the node, and what is not what was agreed on is refused with its status."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage

pytest.importorskip("pynetdicom")

from pynetdicom import _config

from bus_monai.pacs import receive
from tests.pacs.serving import images, store
from tests.pacs.test_receive import connect, node
from tests.waiting import PATIENCE_S, wait_until


def test_silent_connections_lock_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_SILENT", 3)
    with node(tmp_path, associations=2) as (spool, port), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(8)]
        assert store(port, images(tmp_path / "in", 1)) == [0]
        assert len(spool.names("received")) == 1
        # of the silent ones only the last are kept
        silent[0].settimeout(PATIENCE_S)
        assert silent[0].recv(1) == b""


def test_a_full_node_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bus_monai"), node(tmp_path, associations=1) as (_, port):
        first = connect(port)
        assert first.is_established
        assert connect(port).is_rejected
        first.release()
        # which the node notes after it has said so
        says = "Rejected an association of 'SCANNER': all 1 are in use; raise --max-associations."
        wait_until(lambda: says in caplog.text, lambda: caplog.text)
    assert "--allow" not in caplog.text


def test_another_class_than_agreed_on_is_refused_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a file is then sent as it is, under the class that its meta information names
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    (path,) = images(tmp_path / "in", 1)
    lying = pydicom.dcmread(path)
    lying.SOPClassUID = CTImageStorage
    lying.save_as(tmp_path / "lying.dcm")
    assert pydicom.dcmread(tmp_path / "lying.dcm").file_meta.MediaStorageSOPClassUID != CTImageStorage
    with node(tmp_path) as (spool, port):
        assert store(port, [tmp_path / "lying.dcm", path]) == [receive.CLASS_DOES_NOT_MATCH, receive.SUCCESS]
        assert len(spool.names("received")) == 1
