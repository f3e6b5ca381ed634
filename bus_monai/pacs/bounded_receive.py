"""What a caller may make this process hold in memory."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

LONGEST_PDU = 1 << 20
"""Bytes of one PDU, whose length its first bytes declare; ours announces 16 kB and some senders ignore it."""
LONGEST_COMMAND = 1 << 16
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
    if message.encoded_command_set.tell() > LONGEST_COMMAND:
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
        if count > LONGEST_PDU:
            raise OSError("the PDU is too long")
        return receive(count)

    return bounded
