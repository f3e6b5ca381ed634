"""From the spool to the destination, for as long as it takes."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from threading import Event

from bus_monai.pacs.backoff import Backoff
from bus_monai.pacs.node_address import NodeAddress
from bus_monai.pacs.spool import IMAGE, Spool
from bus_monai.pacs.store_sender import NotReachedError, ObjectKind, StoreSender, object_kind

AT_ONCE = 50
"""Instances of one association."""
POLL = 0.5
"""Seconds until the end of a pause is noticed."""
DESTINATION = "destination"
logger = logging.getLogger("bus_monai")


class ResultSender:
    """Send the results of all instances that are done, and remove each instance whose results are all stored.

    What fails is tried again after growing pauses: all, where the destination is down; where it refuses the results of
    an instance, those alone.

    Args:
        spool: where they are.
        destination: where to.
        title: our own AE title.
        tls: of the destination, or ``None`` for plain associations.
    """

    def __init__(self, spool: Spool, destination: NodeAddress, title: str, tls: ssl.SSLContext | None = None) -> None:
        self.spool, self.destination, self.title, self.tls = spool, destination, title, tls
        self._backoff = Backoff()

    def run(self, stop: Event) -> None:
        """Send until ``stop`` is set; the results of the instance at hand are sent whole."""
        while not stop.is_set():
            self.spool.news["done"].clear()
            try:
                sent = self.send_some(stop)
            except Exception as error:  # such as a failing disk: nothing is sent meanwhile, and nothing is lost
                pause = self._backoff.failed(DESTINATION)
                logger.error("Sending failed (%s): trying again in %.0f s.", type(error).__name__, pause)
                sent = 0
            if not sent:
                self.spool.news["done"].wait(POLL)

    def send_some(self, stop: Event) -> int:
        """Send what is due in one association; return of how many instances the results are stored now."""
        if not self._backoff.is_due(DESTINATION):
            return 0
        due = [name for name in self.spool.names("done") if self._backoff.is_due(name)]
        # what failed comes last, so that it holds nothing up
        names = sorted(due, key=self._backoff.failures)[:AT_ONCE]
        kinds = {kind for name in names for kind in self._kinds(name)}
        if not kinds:
            return 0
        sent, name = 0, DESTINATION
        try:
            with StoreSender(self.destination, self.title, kinds, self.tls) as sender:
                self._backoff.succeeded(DESTINATION)
                for name in names:
                    if stop.is_set():
                        break
                    sent += self._backoff.is_due(name) and self._send(sender, name)
        except NotReachedError as error:
            if name != DESTINATION:  # it may be this instance that the destination does not bear
                self._backoff.failed(name)
            pause = self._backoff.failed(DESTINATION)
            logger.warning(
                "%s cannot be reached (%s): the results of %d instances wait, trying again in %.0f s.",
                *(self.destination, error, len(self.spool.names("done")), pause),
            )
        return sent

    def _kinds(self, name: str) -> set[ObjectKind]:
        try:
            return {object_kind(path) for path in self._results(name)}
        except Exception as error:
            self._not_sent(name, f"they cannot be read, {type(error).__name__}")
            return set()

    def _send(self, sender: StoreSender, name: str) -> bool:
        results = self._results(name)
        for path in results:
            try:
                refused = sender.send(path)
            except NotReachedError:
                raise
            except Exception as error:  # such as a file that the disk broke, which holds up no other
                refused = f"'{path}' cannot be read, {type(error).__name__}"
            if refused:
                self._not_sent(name, refused)
                return False
        self.spool.forget("done", name)
        self._backoff.succeeded(name)
        logger.info("%s: %d objects sent to %s", name, len(results), self.destination)
        return True

    def _not_sent(self, name: str, reason: str) -> None:
        pause = self._backoff.failed(name)
        logger.warning(
            "%s: %s does not store the results (%s): trying again in %.0f s.", name, self.destination, reason, pause
        )

    def _results(self, name: str) -> list[Path]:
        """Return what is to be sent: segmentations before the report that refers to them."""
        return sorted(path for path in self.spool.folder("done", name).glob("*.dcm") if path.name != IMAGE)
