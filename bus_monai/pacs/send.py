"""Send results from the spool to their destination, for as long as it takes."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TypeAlias

from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.status import code_to_category

from bus_monai.pacs.address import NodeAddress
from bus_monai.pacs.health import SENT, STAGE_SECONDS, UNSENT
from bus_monai.pacs.spool import IMAGE_FILE, Backoff, Spool

ObjectKind: TypeAlias = tuple[str, str]
"""UIDs of the SOP class and of the transfer syntax."""
TIMEOUT_S = 60
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
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
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


MAX_INSTANCES = 50
"""New instances of one association, and as many that failed."""
POLL_S = 0.5
"""Seconds until the end of a pause is noticed."""
DESTINATION_KEY = "destination"
logger = logging.getLogger("bus_monai")


class ResultSender:
    """Send the results of all instances that are done, and remove each instance whose results are all stored.

    What fails is tried again after growing pauses: all, where the destination is down; where it refuses the results of
    an instance, those alone. What is stored is not sent again, so that all comes through a destination that refuses
    every second try.

    Args:
        spool: where they are.
        destination: where to.
        title: our own AE title.
        tls: of the destination, or ``None`` for plain associations.
        acknowledged: is told of each object that is stored: the ID of its instance, and its path.
    """

    def __init__(
        self,
        spool: Spool,
        destination: NodeAddress,
        title: str,
        tls: ssl.SSLContext | None = None,
        acknowledged: Callable[[str, Path], None] = lambda *_: None,
    ) -> None:
        self.spool, self.destination, self.title, self.tls = spool, destination, title, tls
        self._acknowledged = acknowledged
        self._backoff = Backoff()
        self._stored: set[Path] = set()

    def run(self, stop: Event) -> None:
        """Send until ``stop`` is set; the results of the instance at hand are sent whole."""
        while not stop.is_set():
            self.spool.news["done"].clear()
            try:
                sent = self.send_some(stop)
            except Exception as error:  # such as a failing disk: nothing is sent meanwhile, and nothing is lost
                pause = self._backoff.failed(DESTINATION_KEY)
                logger.error("Sending failed (%s): trying again in %.0f s.", type(error).__name__, pause)
                sent = 0
            if not sent:
                self.spool.news["done"].wait(POLL_S)

    def send_some(self, stop: Event) -> int:
        """Send what is due in one association; return of how many instances all results, if any, are stored now."""
        if not self._backoff.is_due(DESTINATION_KEY):
            return 0
        names = self._next()
        empty = [name for name in names if not self._results(name)]
        for name in empty:  # else they would lead the queue for ever
            self._forget(name, [])
            logger.info("%s: no objects to send", name)
        names = [name for name in names if name not in empty]
        kinds = {kind for name in names for kind in self._kinds(name)}
        if not kinds:
            return len(empty)
        sent, name = len(empty), DESTINATION_KEY
        try:
            with StoreSender(self.destination, self.title, kinds, self.tls) as sender:
                self._backoff.succeeded(DESTINATION_KEY)
                for name in names:
                    if stop.is_set():
                        break
                    sent += self._backoff.is_due(name) and self._send(sender, name)
        except NotReachedError as error:
            if name != DESTINATION_KEY:  # it may be this instance that the destination does not bear
                self._backoff.failed(name)
            pause = self._backoff.failed(DESTINATION_KEY)
            logger.warning(
                "%s cannot be reached (%s): the results of %d instances wait, trying again in %.0f s.",
                *(self.destination, error, len(self.spool.names("done")), pause),
            )
        return sent

    def _next(self) -> list[str]:
        """Return what is due: new instances, and after them some that failed, so that neither holds up the other."""
        due = [name for name in self.spool.names("done") if self._backoff.is_due(name)]
        fresh = [name for name in due if not self._backoff.failures(name)]
        failed = sorted(set(due) - set(fresh), key=self._backoff.due)
        return [*fresh[:MAX_INSTANCES], *failed[:MAX_INSTANCES]]

    def _kinds(self, name: str) -> set[ObjectKind]:
        try:
            return {object_kind(path) for path in self._results(name)}
        except Exception as error:
            self._not_sent(name, f"they cannot be read, {type(error).__name__}")
            return set()

    def _send(self, sender: StoreSender, name: str) -> bool:
        results, begun = self._results(name), time.monotonic()
        for path in results:
            if path in self._stored:
                continue
            try:
                refused = sender.send(path)
            except NotReachedError:
                raise
            except Exception as error:  # such as a file that the disk broke, which holds up no other
                refused = f"'{path}' cannot be read, {type(error).__name__}"
            if refused:
                self._not_sent(name, refused)
                return False
            self._acknowledged(name, path)
            self._stored.add(path)
        STAGE_SECONDS.labels("sent").observe(time.monotonic() - begun)
        self._forget(name, results)
        logger.info("%s: %d objects sent to %s", name, len(results), self.destination)
        return True

    def _forget(self, name: str, results: Sequence[Path]) -> None:
        SENT.inc()
        self.spool.forget("done", name)
        self._stored.difference_update(results)
        self._backoff.succeeded(name)

    def _not_sent(self, name: str, reason: str) -> None:
        pause = self._backoff.failed(name)
        UNSENT.inc()
        logger.warning(
            "%s: %s does not store the results (%s): trying again in %.0f s.", name, self.destination, reason, pause
        )

    def _results(self, name: str) -> list[Path]:
        """Return what is to be sent: segmentations before the report that refers to them."""
        return sorted(path for path in self.spool.folder("done", name).glob("*.dcm") if path.name != IMAGE_FILE)
