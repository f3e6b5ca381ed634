"""Who is silent locks nobody out of the node, and what is not what was agreed on is refused with its status."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

pytest.importorskip("pynetdicom")

from pynetdicom import AE

from bus_monai.pacs import receive
from tests.pacs.serving import images, store
from tests.pacs.test_receive import connect, node


def test_silent_connections_lock_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_SILENT", 8)
    with node(tmp_path, associations=2) as (spool, port), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(20)]
        assert store(port, images(tmp_path / "in", 1)) == [0]
        assert len(spool.names("received")) == 1
        # of the silent ones only the last are kept
        silent[0].settimeout(20)
        assert silent[0].recv(1) == b""


def test_a_full_node_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bus_monai"), node(tmp_path, associations=1) as (_, port):
        first = connect(port)
        assert first.is_established
        assert connect(port).is_rejected
        first.release()
    assert "Rejected an association of 'SCANNER': all 1 are in use; raise --max-associations." in caplog.text
    assert "--allow" not in caplog.text


def test_another_class_than_agreed_on_is_refused_with_its_status(tmp_path: Path) -> None:
    (path,) = images(tmp_path / "in", 1)
    whole = pydicom.dcmread(path)
    with node(tmp_path) as (spool, port):
        entity = AE("SCANNER")
        entity.add_requested_context(whole.SOPClassUID, whole.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", port, ae_title="BUSMONAI")
        assert association.is_established
        lying = pydicom.dcmread(path)
        lying.SOPClassUID = CTImageStorage
        status = _send(association, lying, agreed=whole.SOPClassUID)
        assert status.Status == receive.CLASS_DOES_NOT_MATCH
        assert association.send_c_store(whole).Status == receive.SUCCESS
        association.release()
        assert len(spool.names("received")) == 1


def _send(association: object, dataset: Dataset, *, agreed: str) -> Dataset:
    """Send an instance under the class that was agreed on, whatever it says itself."""
    from pynetdicom import dsutils
    from pynetdicom.dimse_primitives import C_STORE

    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = agreed
    request.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    request.Priority = 2
    encoded = dsutils.encode(dataset, False, True)
    request.DataSet = BytesIO(encoded or b"")
    context = association.accepted_contexts[0]  # type: ignore[attr-defined]
    association.dimse.send_msg(request, context.context_id)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        _, answer = association.dimse.get_msg(block=True)  # type: ignore[attr-defined]
        if answer is not None:
            found = Dataset()
            found.Status = answer.Status
            return found
    raise TimeoutError
