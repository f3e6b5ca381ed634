"""The node lets in whom it knows, as much as it can hold."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from bus_monai.pacs.address import NodeAddress, TlsFiles
from bus_monai.pacs.receive import MAX_COMMAND_BYTES, VERIFICATION_UID, BoundedBytes, NodeLimits, StoreNode
from bus_monai.pacs.spool import IMAGE_FILE, Spool
from tests.free_port import free_port
from tests.pacs.certificates import Authority
from tests.pacs.serving import images, store
from tests.user_errors import raises_user_error
from tests.waiting import wait_until


@contextmanager
def node(
    folder: Path, *, max_bytes: int = 10**6, spool: int = 10**7, associations: int = 5, tls: Any = None
) -> Iterator[tuple[Spool, int]]:
    port = free_port()
    limits = NodeLimits(["SCANNER", "PACS"], associations, max_bytes)
    address = NodeAddress("BUSMONAI", "127.0.0.1", port)
    with closing(Spool(folder / "spool", spool)) as kept, closing(StoreNode(address, kept, limits, tls)):
        yield kept, port


def connect(port: int, *, calling: str = "SCANNER", called: str = "BUSMONAI", tls: Any = None) -> Association:
    entity = AE(calling)
    entity.add_requested_context(VERIFICATION_UID)
    return entity.associate("127.0.0.1", port, ae_title=called, tls_args=(tls, "127.0.0.1") if tls else None)


def large(path: Path, size: int) -> Path:
    data = pydicom.dcmread(path)
    data.Rows = data.Columns = 1
    data.PixelData = bytes(size)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    large = path.with_name(f"large{size}.dcm")
    data.save_as(large)
    return large


def test_bytes_are_kept_as_they_came(tmp_path: Path) -> None:
    (source,) = images(tmp_path / "in", 1)
    with node(tmp_path) as (spool, port):
        assert store(port, [source, source], calling="PACS") == [0, 0]
        (name,) = spool.names("received")
        ours, theirs = pydicom.dcmread(spool.folder("received", name) / IMAGE_FILE), pydicom.dcmread(source)
        assert ours == theirs
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("words", [{"calling": "SCANNER1"}, {"called": "OTHER"}, {"calling": "scanner"}])
def test_strangers_are_rejected(tmp_path: Path, caplog: pytest.LogCaptureFixture, words: dict[str, str]) -> None:
    with node(tmp_path) as (spool, port):
        assert connect(port, **words).is_rejected
        assert store(port, images(tmp_path / "in", 1), **words) == [None]
        assert spool.names("received") == []
    calling, called = words.get("calling", "SCANNER"), words.get("called", "BUSMONAI")
    # which is said after the answer
    wait_until(lambda: f"Rejected an association of '{calling}' with '{called}'" in caplog.text)


def test_too_many_associations(tmp_path: Path) -> None:
    with node(tmp_path, associations=1) as (_, port):
        first = connect(port)
        assert first.is_established
        assert connect(port).is_rejected
        first.release()
        wait_until(lambda: (again := connect(port)).is_established and not again.release())


def test_too_large_is_refused_and_the_next_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (source,) = images(tmp_path / "in", 1)
    sizes = [large(source, size) for size in (200_000, 101_000, 99_000)]
    with node(tmp_path, max_bytes=100_000) as (spool, port):
        # the second has no more pixels than may be, but a header too
        assert store(port, [source, *sizes, source]) == [0, 0xA700, 0xA700, 0, 0]
        assert len(spool.names("received")) == 2
    assert caplog.text.count("Refused an instance of more than 0 MB.") == 2


def test_what_is_too_large_is_not_held() -> None:
    data = BoundedBytes(10)
    assert data.write(b"1234567890") == 10
    assert not data.is_over
    assert [data.write(b"x" * 1000) for _ in range(3)] == [1000] * 3
    assert data.is_over
    assert data.getvalue() == b"1234567890"


def test_a_full_spool_and_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sources = images(tmp_path / "in", 3)
    with node(tmp_path, spool=int(1.5 * sources[0].stat().st_size)) as (spool, port):
        assert store(port, sources[:2]) == [0, 0xA700]
        (name,) = spool.names("received")
        spool.forget("received", name)
        assert store(port, sources[1:2]) == [0]

        def full(content: bytes, caller: str) -> str:
            raise OSError(errno.ENOSPC, "No space left on device")

        def unreadable(content: bytes, caller: str) -> str:
            raise ValueError("SECRET^ANNA")

        monkeypatch.setattr(spool, "receive", full)
        assert store(port, sources[2:]) == [0xA700]
        assert f"Refused an instance: '{spool.path}' cannot be written (No space left on device)." in caplog.text
        monkeypatch.setattr(spool, "receive", unreadable)
        assert store(port, sources[2:]) == [0xC000]
        assert "Refused an instance that cannot be read (ValueError)." in caplog.text
    ours = "".join(record.getMessage() for record in caplog.records if record.name == "bus_monai")
    assert "SECRET" not in ours


def test_a_pdu_that_says_it_is_4_gb_ends_the_connection(tmp_path: Path) -> None:
    with node(tmp_path) as (_, port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
            caller.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF))
            assert caller.recv(100) == b""
        again = connect(port)
        assert again.is_established
        again.release()


def test_an_endless_command_ends_the_association(tmp_path: Path) -> None:
    with node(tmp_path) as (_, port):
        association = connect(port)
        fragment = P_DATA()
        fragment.presentation_data_value_list = [[association.accepted_contexts[0].context_id, b"\1" + bytes(10_000)]]
        for _ in range(MAX_COMMAND_BYTES // 10_000 + 3):
            association.dul.send_pdu(fragment)
        wait_until(lambda: association.is_aborted)


def test_an_address_in_use(tmp_path: Path) -> None:
    with node(tmp_path) as (spool, port):
        reason = os.strerror(errno.EADDRINUSE)
        with raises_user_error(f"127.0.0.1:{port}", reason, "--port", "--host"):
            StoreNode(NodeAddress("BUSMONAI", "127.0.0.1", port), spool, NodeLimits(["A"], 1, 1))


def test_mutual_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "stranger")
    files = ours.files()
    with node(tmp_path, tls=files.server_context()) as (_, port):
        with socket.create_connection(("127.0.0.1", port)):  # says nothing, and holds up nobody
            known = connect(port, tls=files.client_context())
            assert known.is_established
            assert known.send_c_echo().Status == 0
            known.release()
        theirs = stranger.files()
        theirs_with_our_authority = TlsFiles(theirs.certificate, theirs.key, ours.path)
        nameless = ssl.create_default_context(cafile=str(ours.path))
        for context in (None, nameless, theirs_with_our_authority.client_context(), theirs.client_context()):
            assert not connect(port, tls=context).is_established
    assert "A caller did not agree on TLS (PEER_DID_NOT_RETURN_A_CERTIFICATE)." in caplog.text


def test_tls_of_callers_without_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with node(tmp_path, tls=authority.files(mutual=False).server_context()) as (_, port):
        caller = connect(port, tls=ssl.create_default_context(cafile=str(authority.path)))
        assert caller.is_established
        caller.release()
        old = ssl.create_default_context(cafile=str(authority.path))
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        assert not connect(port, tls=old).is_established


def test_files_of_tls_that_are_none(tmp_path: Path) -> None:
    files = Authority(tmp_path / "authority").files()
    for broken, reason in (
        (TlsFiles(tmp_path / "none", files.key), os.strerror(errno.ENOENT)),
        (TlsFiles(files.key, files.key), "SSL"),
        (TlsFiles(files.certificate, files.key, files.key), "NO_CERTIFICATE_OR_CRL_FOUND"),
    ):
        with raises_user_error(reason, "--tls-cert", "--tls-key", "--tls-ca"):
            broken.server_context()


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bus_monai")
