"""Receive instances by C-STORE, within bounds of memory."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from socketserver import BaseServer
from threading import Thread
from typing import Any, cast

from pydicom.filereader import read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from bus_monai.errors import UserError
from bus_monai.pacs.address import NodeAddress
from bus_monai.pacs.health import RECEIVED, REFUSED
from bus_monai.pacs.spool import Spool, SpoolFullError

MAX_PDU_BYTES = 1 << 20
"""Bytes of one PDU, whose length its first bytes declare; ours announces 16 kB and some senders ignore it."""
MAX_COMMAND_BYTES = 1 << 16
"""Bytes of a command set, which holds some ten short elements."""


class BoundedBytes(BytesIO):
    """Bytes of which no more than some are kept.

    Args:
        most: bytes kept.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.is_over = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Keep ``data``, or drop it where it would be too much."""
        self.is_over = self.is_over or self.tell() + len(data) > self.most
        return len(data) if self.is_over else super().write(data)


def bound_pdu(event: evt.Event) -> None:
    """Let a connection end at a PDU that declares itself too long: ``EVT_CONN_OPEN``."""
    socket: AssociationSocket | None = event.assoc.dul.socket
    if socket is not None:
        socket.recv = _bounded(socket.recv)  # type: ignore[assignment, method-assign]


def bound_message(event: evt.Event, most: int) -> None:
    """Let an instance be dropped from ``most`` bytes on, as it comes: ``EVT_PDU_RECV``."""
    message = event.assoc.dimse.message
    if message is None:  # the first PDU of an instance is bounded itself
        return
    if message.encoded_command_set.tell() > MAX_COMMAND_BYTES:
        event.assoc.abort(block=False)
    elif not isinstance(message.data_set, BoundedBytes):
        bounded = BoundedBytes(most)
        bounded.write(message.data_set.getvalue() if message.data_set else b"")
        message.data_set = bounded


def is_too_long(data: BytesIO, most: int) -> bool:
    """Tell whether an instance had, or would have had, more than ``most`` bytes."""
    return getattr(data, "is_over", False) or data.getbuffer().nbytes > most


def _bounded(receive: Callable[[int], bytearray]) -> Callable[[int], bytearray]:
    def bounded(count: int) -> bytearray:
        if count > MAX_PDU_BYTES:
            raise OSError("the PDU is too long")
        return receive(count)

    return bounded


MAX_SILENT = 100
"""Connections that have not asked for an association yet."""
CLASS_NOT_SUPPORTED, CLASS_DOES_NOT_MATCH = 0x0122, 0xA900
"""Statuses of an instance of another SOP class, PS3.7 C.5.6 and PS3.4 B.2.3."""
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Statuses of C-STORE, PS3.4 B.2.3."""
VERIFICATION_UID = "1.2.840.10008.1.1"
"""SOP class of C-ECHO, PS3.4 A.4."""
RETIRED_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
}
"""Ultrasound images and cines as older scanners send them, PS3.6 A, by what pynetdicom is to call them."""
TIMEOUT_S = 60
"""Seconds that a caller may be silent."""
_SOP_CLASS = 0x00080016
logger = logging.getLogger("bus_monai")


@dataclass(frozen=True)
class NodeLimits:
    """Limits of a node: who may send, and how much.

    Args:
        callers: AE titles; all others are rejected.
        max_associations: at a time.
        max_bytes: of one instance.
    """

    callers: Sequence[str]
    max_associations: int
    max_bytes: int


class StoreNode:
    """Receive instances by C-STORE, and answer C-ECHO, in threads of its own.

    An instance is acknowledged (0x0000) when it is on the disk; what is too large or finds no room is refused with
    0xA700, what cannot be read with 0xC000.

    Args:
        address: its own; callers must use its AE title.
        spool: where instances go.
        limits: who may send, and how much.
        tls: of callers, or ``None`` for plain associations.

    Raises:
        UserError: the address is used already, or is none of this machine.
    """

    def __init__(
        self, address: NodeAddress, spool: Spool, limits: NodeLimits, tls: ssl.SSLContext | None = None
    ) -> None:
        self.spool, self.limits = spool, limits
        self._entity = _Entity(ae_title=address.title)
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = list(limits.callers)
        self._entity.maximum_associations = limits.max_associations
        self._entity.network_timeout = TIMEOUT_S
        classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        for uid, keyword in RETIRED_CLASSES.items():
            register_uid(uid, keyword, StorageServiceClass)  # it knows no service of them
        for uid in dict.fromkeys((*classes, *RETIRED_CLASSES)):
            self._entity.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
        self._entity.add_supported_context(VERIFICATION_UID)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, bound_pdu),
            (evt.EVT_CONN_OPEN, self._entity.bound_silent),
            (evt.EVT_PDU_RECV, bound_message, [limits.max_bytes]),
            (evt.EVT_REJECTED, self._log_rejection),
            (evt.EVT_C_STORE, self._store_and_count),
        ]
        try:
            server = self._entity.make_server(
                (address.host, address.port), ssl_context=tls, evt_handlers=handlers, server_class=_Server
            )
        except OSError as error:
            raise UserError(
                f"Cannot listen on {address.host}:{address.port} ({error.strerror or error}): give another --port or "
                "--host."
            ) from error
        self._server: Any = server
        self._thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more and end all associations; an instance that is not acknowledged yet, its sender sends again."""
        BaseServer.shutdown(self._server)
        self._thread.join()
        self._server.server_close()
        for association in self._entity.all_associations:
            association.abort()

    def _log_rejection(self, event: evt.Event) -> None:
        caller = event.assoc.requestor.primitive
        calling, called = getattr(caller, "calling_ae_title", ""), getattr(caller, "called_ae_title", "")
        if calling in self.limits.callers and called == self._entity.ae_title:
            logger.warning(
                "Rejected an association of %.18r: all %d are in use; raise --max-associations.",
                calling,
                self.limits.max_associations,
            )
        else:
            logger.warning(
                "Rejected an association of %.18r with %.18r: allow it with --allow, or fix the called AE title.",
                calling,
                called,
            )

    @property
    def is_listening(self) -> bool:
        """Whether callers are still heard."""
        return self._thread.is_alive()

    def _store_and_count(self, event: evt.Event) -> int:
        status = self._store(event)
        if status == SUCCESS:
            RECEIVED.inc()
        else:
            REFUSED.labels(f"0x{status:04X}").inc()
        return status

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        try:
            if is_too_long(request.DataSet, self.limits.max_bytes):
                logger.warning("Refused an instance of more than %.0f MB.", self.limits.max_bytes / 1e6)
                return OUT_OF_RESOURCES
            content = event.encoded_dataset()
            refused = _wrong_class(event, content)
            if refused:
                logger.warning("Refused an instance of another SOP class than was agreed on (0x%04X).", refused)
                return refused
            self.spool.receive(content, str(event.assoc.requestor.ae_title or "").strip())
        except SpoolFullError:
            logger.warning("Refused an instance: the spool holds %.3g GB.", self.spool.max_bytes / 1e9)
            return OUT_OF_RESOURCES
        except OSError as error:
            logger.error("Refused an instance: '%s' cannot be written (%s).", self.spool.path, error.strerror)
            return OUT_OF_RESOURCES
        except Exception as error:  # of whatever the caller wrote; its text may quote a patient
            logger.warning("Refused an instance that cannot be read (%s).", type(error).__name__)
            return CANNOT_UNDERSTAND
        return SUCCESS


def _wrong_class(event: evt.Event, content: bytes) -> int:
    """Return the status of an instance of another SOP class than its presentation context's, or 0."""
    request: Any = event.request
    agreed = event.context.abstract_syntax
    if request.AffectedSOPClassUID != agreed:
        return CLASS_NOT_SUPPORTED
    if event.context.transfer_syntax == DeflatedExplicitVRLittleEndian:
        return 0  # it is unpacked by what segments it, within bounds
    try:
        start = BytesIO(content[:MAX_COMMAND_BYTES])  # it is among the first elements, and what follows may be endless
        header = read_partial(start, lambda tag, *_: tag > _SOP_CLASS)
        found = header.get("SOPClassUID")
    except Exception:  # of some ten kinds; what is broken is kept with the reason
        return 0
    return CLASS_DOES_NOT_MATCH if found and found != agreed else 0


class _Entity(AE):
    """As its base, but only callers who have said who they are count as associations."""

    @property
    def all_associations(self) -> list[Association]:
        """All of them, also those that have said nothing yet."""
        return super().active_associations

    @property
    def active_associations(self) -> list[Association]:
        """Those whose caller has asked for an association."""
        return [association for association in self.all_associations if not _is_silent(association)]

    def bound_silent(self, event: evt.Event) -> None:
        """Let the connection go that has been silent for longest where there are many: ``EVT_CONN_OPEN``."""
        silent = [association for association in self.all_associations if _is_silent(association)]
        for association in silent[: max(0, len(silent) - MAX_SILENT)]:
            if association.dul.socket is not None:
                association.dul.socket.close()


def _is_silent(association: Association) -> bool:
    return association.is_acceptor and association.requestor.primitive is None


class _Server(ThreadedAssociationServer):
    """As its base, but a silent caller stops nobody else: TLS is agreed on in the caller's own thread."""

    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = cast(socket.socket, self.socket).accept()
        request.settimeout(TIMEOUT_S)
        return request, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if self.ssl_context:
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError as error:
                logger.warning("A caller did not agree on TLS (%s).", getattr(error, "reason", None) or error.strerror)
                request.close()
                return
        super().process_request_thread(request, client_address)
