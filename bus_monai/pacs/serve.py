"""The node: receive, segment, send."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Thread

from bus_monai.errors import UserError
from bus_monai.inference.manifest import LEFT_OUT, Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.inference.write_outputs import OutputError
from bus_monai.io.atomic import atomic_file
from bus_monai.io.opened import quiet_decoders
from bus_monai.pacs.address import NodeAddress, TlsFiles, is_loopback
from bus_monai.pacs.receive import NodeLimits, StoreNode
from bus_monai.pacs.send import ResultSender
from bus_monai.pacs.spool import IMAGE_FILE, REASON_FILE, Spool
from bus_monai.sources.readers import NoReaderError, Readers

BEGUN_FILE = "begun"
"""There while an instance is segmented, and where the process ended meanwhile."""


def segment_spooled(
    spool: Spool, name: str, predictor: Predictor, settings: SegmentSettings, readers: Readers
) -> Outcome:
    """Segment a received instance and bring it into its next state; what is skipped is removed.

    The date in its results is that of its receipt, so that a second try makes the same objects.

    Args:
        spool: where it is.
        name: its ID.
        predictor: what finds the lesions.
        settings: what to write, and which modality.
        readers: processes that read it.

    Returns:
        What became of it.

    Raises:
        OutputError: the spool cannot be written to; the instance stays as it is.
        NoReaderError: it cannot be read now, and stays so too.
        OSError: so does it.
    """
    folder = spool.folder("received", name)
    image, begun = folder / IMAGE_FILE, folder / BEGUN_FILE
    for path in folder.iterdir():
        if path != image:  # of a run that was killed, maybe with another model
            path.unlink()
    begun.touch()
    try:
        received = datetime.fromtimestamp(int(image.stat().st_mtime), timezone.utc)
        outcome = SegmentFile(predictor, folder, settings, received, readers)(image, image.stem)
    finally:
        begun.unlink()
    if outcome.state in LEFT_OUT:
        spool.forget("received", name)
    elif outcome.state == "done":
        spool.move(name, "done")
    else:
        with atomic_file(folder / REASON_FILE) as partial:
            partial.write_text(outcome.reason + "\n", encoding="utf-8")
        spool.move(name, "failed")
    return outcome


def waiting(spool: Spool) -> list[str]:
    """Return the IDs of received instances, the oldest first; last those at which the process ended.

    Nobody knows whether these ended it, so that they are not given up, but hold up no others.
    """
    names = spool.names("received")
    return sorted(names, key=lambda name: (spool.folder("received", name) / BEGUN_FILE).exists())


POLL_S = 0.5
"""Seconds until a stop is noticed."""
DISK_PAUSE_S = 30
"""Seconds until a full or failing disk is tried again."""
logger = logging.getLogger("bus_monai")


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the node: port, senders, destination and spool.

    Args:
        own: where to listen and under which AE title.
        destination: what gets the results.
        spool: folder of what is received and not sent yet.
        max_bytes: of the spool.
        limits: who may send, and how much.
        tls: for both sides, or ``None`` for plain associations.
    """

    own: NodeAddress
    destination: NodeAddress
    spool: Path
    max_bytes: float
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
    with quiet_decoders(), Readers() as readers, closing(Spool(settings.spool, settings.max_bytes)) as spool:
        with closing(StoreNode(own, spool, settings.limits, server)):
            logger.info("Listening as %s; results go to %s; %s.", own, destination, spool.describe())
            sender = ResultSender(spool, destination, own.title, client)
            _serve_spool(spool, predictor, segmenting, readers, sender, stop)
        logger.info("Stopped; %s. The same command goes on.", spool.describe())


def _serve_spool(
    spool: Spool,
    predictor: Predictor,
    settings: SegmentSettings,
    readers: Readers,
    sender: ResultSender,
    stop: Event,
) -> None:
    sending = Thread(target=sender.run, args=(stop,), name="send")
    sending.start()
    try:
        while not stop.is_set():
            spool.news["received"].clear()
            names = waiting(spool)
            for name in names:
                if stop.is_set():
                    break
                _segment(spool, name, predictor, settings, readers, stop)
            if not names:
                spool.news["received"].wait(POLL_S)
    finally:
        stop.set()
        sending.join()


def _segment(
    spool: Spool, name: str, predictor: Predictor, settings: SegmentSettings, readers: Readers, stop: Event
) -> None:
    try:
        outcome = segment_spooled(spool, name, predictor, settings, readers)
    except NoReaderError as error:
        logger.error("%s: %s Trying again in %d s.", name, error, DISK_PAUSE_S)
        stop.wait(DISK_PAUSE_S)
        return
    except (OutputError, OSError) as error:
        cause = error.__cause__ if isinstance(error, UserError) else error
        reason = getattr(cause, "strerror", None) or type(error).__name__
        logger.error("'%s' cannot be written (%s): trying again in %d s.", spool.path, reason, DISK_PAUSE_S)
        stop.wait(DISK_PAUSE_S)
        return
    # where it is done, its line comes when its results are sent
    if outcome.state in LEFT_OUT:
        logger.info("%s: %s: %s", name, outcome.state, outcome.reason)
    elif outcome.state == "failed":
        logger.error("%s: cannot be segmented, see '%s'", name, spool.folder("failed", name))
    notes = {part for row in outcome.rows for part in str(row.get("note", "")).split("; ")}
    if lacking := sorted(note for note in notes if note.startswith("no ")):
        logger.warning("%s: %s", name, "; ".join(lacking))
