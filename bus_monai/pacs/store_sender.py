"""Results sent to a DICOM node."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.status import code_to_category

from bus_monai.pacs.node_address import NodeAddress

ObjectKind: TypeAlias = tuple[str, str]
"""UIDs of the SOP class and of the transfer syntax."""
PATIENCE = 60
"""Seconds that the destination may be silent."""


class NotReachedError(Exception):
    """The destination cannot be reached, or went away; the text says how."""


class StoreSender:
    """An association with the destination, for a ``with`` block.

    Args:
        destination: where to.
        title: our own AE title.
        kinds: of all objects that may be sent, see :func:`object_kind`.
        tls: of the destination, or ``None`` for a plain association.

    Raises:
        NotReachedError: on entering, where there is no such node or it rejects us.
    """

    def __init__(
        self, destination: NodeAddress, title: str, kinds: Iterable[ObjectKind], tls: ssl.SSLContext | None = None
    ) -> None:
        self.destination = destination
        entity = AE(ae_title=title)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE
        self._entity, self._contexts, self._tls = entity, _contexts(kinds), tls
        self._association: Association | None = None

    def __enter__(self) -> StoreSender:
        node = self.destination
        association = self._entity.associate(
            node.host,
            node.port,
            contexts=self._contexts,
            ae_title=node.title,
            tls_args=(self._tls, node.host) if self._tls else None,
        )
        if association.is_rejected:
            raise NotReachedError("it rejects this AE title")
        if not association.is_established:
            refused = association.rejected_contexts
            raise NotReachedError("it takes no objects of this kind" if refused else "no connection")
        self._association = association
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._association is not None and self._association.is_established:
            self._association.release()

    def send(self, path: Path) -> str:
        """Send one object.

        Returns:
            Empty where it is stored, else why it is not.

        Raises:
            NotReachedError: the destination went away.
        """
        association = self._association
        if association is None or not association.is_established:
            raise NotReachedError("it closed the connection")
        try:
            status = association.send_c_store(path)
        except ValueError:
            return "it takes no objects of this kind"
        except (RuntimeError, OSError) as error:
            raise NotReachedError("it closed the connection") from error
        if "Status" not in status:
            raise NotReachedError("it closed the connection or did not answer")
        stored = code_to_category(status.Status) in ("Success", "Warning")
        return "" if stored else f"it answers 0x{status.Status:04X}"


def object_kind(path: Path) -> ObjectKind:
    """Return what is to be agreed on for a DICOM file.

    Raises:
        Exception: of pydicom, where it is none.
    """
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _contexts(kinds: Iterable[ObjectKind]) -> list[PresentationContext]:
    syntaxes: dict[str, set[str]] = {}
    for sop_class, syntax in kinds:
        # the one that every node takes, PS3.5 10.1; pynetdicom converts
        default = set() if UID(syntax).is_compressed else {str(ImplicitVRLittleEndian)}
        syntaxes.setdefault(sop_class, set()).update({syntax} | default)
    return [build_context(sop_class, sorted(known, reverse=True)) for sop_class, known in sorted(syntaxes.items())]
