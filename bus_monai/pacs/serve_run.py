"""The command ``bus-monai serve`` in Python."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from bus_monai.errors import UserError
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.quiet_decoders import quiet_decoders
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import OutputError
from bus_monai.pacs.node_address import NodeAddress, is_loopback
from bus_monai.pacs.segment_spooled import segment_spooled
from bus_monai.pacs.send_results import ResultSender
from bus_monai.pacs.spool import Spool
from bus_monai.pacs.store_node import NodeLimits, StoreNode
from bus_monai.pacs.tls import TlsFiles

POLL = 0.5
"""Seconds until a stop is noticed."""
PAUSE = 30
"""Seconds until a full or failing disk is tried again."""
logger = logging.getLogger("bus_monai")


@dataclass(frozen=True)
class ServeSettings:
    """Who sends, who gets the results, and what lies between.

    Args:
        own: where to listen and under which AE title.
        destination: what gets the results.
        spool: folder of what is received and not sent yet.
        most_bytes: of the spool.
        limits: who may send, and how much.
        tls: for both sides, or ``None`` for plain associations.
    """

    own: NodeAddress
    destination: NodeAddress
    spool: Path
    most_bytes: float
    limits: NodeLimits
    tls: TlsFiles | None = None


def serve(settings: ServeSettings, predictor: Predictor, segmenting: SegmentSettings, stop: Event) -> None:
    """Receive, segment and send until ``stop`` is set; the instance at hand is finished.

    Args:
        settings: as above.
        predictor: what finds the lesions.
        segmenting: what to write, and which modality.
        stop: ends it.

    Raises:
        UserError: the address is used already, the spool cannot be written to or is another process's, or a file of
            TLS is missing or broken.
    """
    own, destination, tls = settings.own, settings.destination, settings.tls
    open_side = next((node.host for node in (own, destination) if not is_loopback(node.host)), None)
    if tls is None and open_side:
        logger.warning(
            "Images and results cross the network unencrypted (%s): give --tls-cert and --tls-key.", open_side
        )
    server, client = (tls.server_context(), tls.client_context()) if tls else (None, None)
    with quiet_decoders(), closing(Spool(settings.spool, settings.most_bytes)) as spool:
        with closing(StoreNode(own, spool, settings.limits, server)):
            logger.info("Listening as %s; results go to %s; %s.", own, destination, spool.describe())
            _serve_spool(spool, predictor, segmenting, ResultSender(spool, destination, own.title, client), stop)
        logger.info("Stopped; %s. The same command goes on.", spool.describe())


def _serve_spool(
    spool: Spool, predictor: Predictor, settings: SegmentSettings, sender: ResultSender, stop: Event
) -> None:
    sending = Thread(target=sender.run, args=(stop,), name="send")
    sending.start()
    try:
        while not stop.is_set():
            spool.news["received"].clear()
            names = spool.names("received")
            for name in names:
                if stop.is_set():
                    break
                _segment(spool, name, predictor, settings, stop)
            if not names:
                spool.news["received"].wait(POLL)
    finally:
        stop.set()
        sending.join()


def _segment(spool: Spool, name: str, predictor: Predictor, settings: SegmentSettings, stop: Event) -> None:
    try:
        outcome = segment_spooled(spool, name, predictor, settings)
    except (OutputError, OSError) as error:
        cause = error.__cause__ if isinstance(error, UserError) else error
        reason = getattr(cause, "strerror", None) or type(error).__name__
        logger.error("'%s' cannot be written (%s): trying again in %d s.", spool.path, reason, PAUSE)
        stop.wait(PAUSE)
        return
    # where it is done, its line comes when its results are sent
    if outcome.state == "skipped":
        logger.info("%s: left out, its modality is not %s", name, settings.modality)
    elif outcome.state == "failed":
        logger.error("%s: cannot be segmented, see '%s'", name, spool.folder("failed", name))
