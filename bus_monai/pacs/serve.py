"""The node: receive, segment, send."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from bus_monai import __version__
from bus_monai.dicom.segmentation import lesion_planes
from bus_monai.errors import UserError
from bus_monai.inference.manifest import LEFT_OUT, Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.inference.segment_frames import WRITTEN_NOTE
from bus_monai.inference.write_outputs import OutputError
from bus_monai.io.atomic import atomic_file
from bus_monai.io.opened import OpenedSource, quiet_decoders
from bus_monai.io.ours import OUTPUT_SUFFIXES
from bus_monai.pacs.address import NodeAddress, TlsFiles, is_loopback
from bus_monai.pacs.config import Rule, check_wanted
from bus_monai.pacs.health import SEGMENTED, STAGE_SECONDS, HealthServer
from bus_monai.pacs.journal import JOURNAL_FOLDER, Journal
from bus_monai.pacs.receive import NodeLimits, StoreNode
from bus_monai.pacs.send import ResultSender
from bus_monai.pacs.spool import CALLER_FILE, IMAGE_FILE, PARTIAL, REASON_FILE, Spool
from bus_monai.sources.readers import NoReaderError, Readers

SEG_SUFFIX = OUTPUT_SUFFIXES["seg"]
LESION_KEYS = ("number", "frame", "unit", "long_axis", "short_axis", "area", "probability")
"""What the journal tells of a lesion."""
BEGUN_FILE = "begun"
"""There while an instance is segmented, and where the process ended meanwhile."""


@dataclass(frozen=True)
class SpoolSegmenter:
    """Segment received instances, one per call, and bring each into its next state; what is left out is removed.

    The date in its results is that of its receipt, so that a second try makes the same objects.

    Args:
        spool: where they are.
        predictor: what finds the lesions.
        settings: what to write, and which modality.
        readers: processes that read them.
        rules: for what is segmented.
        journal: where each decision is written before the instance goes on, or ``None``.
        shadow: another model that segments what is done too; what it finds is compared in the journal and never sent.
    """

    spool: Spool
    predictor: Predictor
    settings: SegmentSettings
    readers: Readers
    rules: Sequence[Rule] = ()
    journal: Journal | None = None
    shadow: Predictor | None = None

    def __call__(self, name: str) -> Outcome:
        """Segment an instance.

        Args:
            name: its ID.

        Returns:
            What became of it.

        Raises:
            OutputError: the spool cannot be written to; the instance stays as it is.
            NoReaderError: it cannot be read now, and stays so too.
            OSError: the spool or the journal cannot be written to; it stays so too.
        """
        folder, begun = self.spool.folder("received", name), time.time()
        image, mark = folder / IMAGE_FILE, folder / BEGUN_FILE
        for path in folder.iterdir():
            if path.name not in (IMAGE_FILE, CALLER_FILE):  # of a run that was killed, maybe with another model
                path.unlink()
        mark.touch()
        received, caller = receipt(folder), self.spool.caller(name)
        headers: list[Dataset] = []

        def check(source: OpenedSource, modality: str) -> None:
            with suppress(UserError):  # which reading it will say
                headers.append(source.header)
            if modality.upper() in ("", self.settings.modality.upper()):
                check_wanted(self.rules, caller, source)

        try:
            # DICOM's dates know no fractions of seconds in every place where it is written
            creation = received.replace(microsecond=0)
            segment = SegmentFile(self.predictor, folder, self.settings, creation, self.readers, check=check)
            outcome = segment(image, image.stem)
        finally:
            mark.unlink()
        if self.journal is not None:
            self.journal.decided(
                name,
                received,
                caller=caller,
                header=headers[0] if headers else None,
                state=outcome.state,
                reason=outcome.reason,
                details=self._details(outcome, folder),
                seconds=time.time() - begun,
            )
        if outcome.state in LEFT_OUT:
            self.spool.forget("received", name)
        elif outcome.state == "done":
            self.spool.move(name, "done")
        else:
            with atomic_file(folder / REASON_FILE) as part:
                part.write_text(outcome.reason + "\n", encoding="utf-8")
            self.spool.move(name, "failed")
        STAGE_SECONDS.labels("waited").observe(max(0.0, begun - received.timestamp()))
        STAGE_SECONDS.labels("segmented").observe(time.time() - begun)
        SEGMENTED.labels(outcome.state).inc()
        return outcome

    def _details(self, outcome: Outcome, folder: Path) -> dict[str, Any]:
        told = _model(self.predictor) | {"threshold": self.settings.threshold, "bus_monai": __version__}
        if outcome.state == "done":
            told["lesions"] = _lesions(outcome)
            if self.shadow is not None:
                told["shadow"] = self._compare(self.shadow, folder)
            told["note"] = str(outcome.rows[0].get("note", "")) if outcome.rows else ""
            told["objects"] = list(outcome.outputs)
        return told

    def _compare(self, shadow: Predictor, folder: Path) -> dict[str, Any]:
        """Return what the other model finds, and the Dice of both; whatever is wrong with it stays without effect."""
        begun, told = time.time(), _model(shadow)
        image = folder / IMAGE_FILE
        with tempfile.TemporaryDirectory(dir=self.spool.path / PARTIAL) as name:
            settings = replace(self.settings, kinds=("seg",))
            try:
                outcome = SegmentFile(shadow, Path(name), settings, receipt(folder), self.readers)(image, image.stem)
                told |= {"state": outcome.state, "reason": outcome.reason, "lesions": _lesions(outcome)}
                if "seg" in self.settings.kinds and outcome.state == "done":
                    told["dice"] = round(_dice(folder, Path(name)), 4)
            except Exception as error:
                logger.warning("The shadow model failed (%s).", type(error).__name__)
                told |= {"state": "failed", "reason": type(error).__name__, "lesions": []}
        return told | {"seconds": round(time.time() - begun, 3)}


def _model(predictor: Predictor) -> dict[str, Any]:
    return {
        "model": predictor.name,
        "version": predictor.version,
        "weights_sha256": predictor.weights_hash,
        "sensitivity": predictor.sensitivity,
    }


def _lesions(outcome: Outcome) -> list[dict[str, Any]]:
    return [{key: row[key] for key in LESION_KEYS if key in row} for row in outcome.rows if "number" in row]


def _dice(one: Path, other: Path) -> float:
    """Return the Dice of the lesions in all frames of the segmentations in two folders, 1 where both have none."""
    first, second = (lesion_planes(map(pydicom.dcmread, sorted(x.glob(f"*{SEG_SUFFIX}")))) for x in (one, other))
    shared = sum(int((first[frame] & second[frame]).sum()) for frame in first.keys() & second.keys())
    sizes = sum(int(plane.sum()) for planes in (first, second) for plane in planes.values())
    return 2 * shared / sizes if sizes else 1.0


def receipt(folder: Path) -> datetime:
    """Return when the instance of a folder of the spool was received."""
    return datetime.fromtimestamp((folder / IMAGE_FILE).stat().st_mtime, timezone.utc)


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
        rules: for what is segmented, the first that matches; without any, all is.
        shadow: another model, compared in the journal, or ``None``.
        journal_uids: whether the journal keeps real UIDs beside their hashes.
        health: host and port of :class:`~bus_monai.pacs.health.HealthServer`, ``None`` for none.
    """

    own: NodeAddress
    destination: NodeAddress
    spool: Path
    max_bytes: float
    limits: NodeLimits
    tls: TlsFiles | None = None
    rules: Sequence[Rule] = ()
    health: tuple[str, int] | None = None
    journal_uids: bool = False
    shadow: Predictor | None = None


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
        with ExitStack() as stack:
            node = stack.enter_context(closing(StoreNode(own, spool, settings.limits, server)))
            journal = Journal(settings.spool / JOURNAL_FOLDER, keep_uids=settings.journal_uids)

            def acknowledged(name: str, path: Path) -> None:
                journal.stored(name, receipt(path.parent), path.name, str(destination))

            sender = ResultSender(spool, destination, own.title, client, acknowledged)
            sending = Thread(target=sender.run, args=(stop,), name="send")
            if settings.health:
                health = HealthServer(*settings.health, spool, partial(_dead, node, sending), partial(_unready, spool))
                stack.enter_context(closing(health))
            logger.info("Listening as %s; results go to %s; %s.", own, destination, spool.describe())
            segment = SpoolSegmenter(spool, predictor, segmenting, readers, settings.rules, journal, settings.shadow)
            _serve_spool(segment, sending, stop)
        logger.info("Stopped; %s. The same command goes on.", spool.describe())


def _dead(node: StoreNode, sending: Thread) -> str:
    if not node.is_listening:
        return "it does not listen"
    return "" if sending.is_alive() else "it does not send"


def _unready(spool: Spool) -> str:
    if spool.used_bytes >= spool.max_bytes:
        return "the spool is full"
    return "" if os.access(spool.path, os.W_OK) else "the spool cannot be written to"


def _serve_spool(segment: SpoolSegmenter, sending: Thread, stop: Event) -> None:
    spool = segment.spool
    sending.start()
    try:
        while not stop.is_set():
            spool.news["received"].clear()
            names = waiting(spool)
            for name in names:
                if stop.is_set():
                    break
                _segment(segment, name, stop)
            if not names:
                spool.news["received"].wait(POLL_S)
    finally:
        stop.set()
        sending.join()


def _segment(segment: SpoolSegmenter, name: str, stop: Event) -> None:
    spool = segment.spool
    try:
        outcome = segment(name)
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
    if lacking := sorted(note for note in notes if note.startswith("no ") or note == WRITTEN_NOTE):
        logger.warning("%s: %s", name, "; ".join(lacking))
