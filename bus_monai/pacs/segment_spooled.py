"""From a received instance to its results, beside it."""

from __future__ import annotations

from datetime import datetime, timezone

from bus_monai.atomic_file import atomic_file
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.pacs.spool import IMAGE, REASON, Spool

BEGUN = "begun"
"""A byte for each time that the instance was begun; not there where it was finished."""
MOST_TRIES = 3


def segment_spooled(spool: Spool, name: str, predictor: Predictor, settings: SegmentSettings) -> Outcome:
    """Segment a received instance and bring it into its next state; what is skipped is removed.

    The date in its results is that of its receipt, so that a second try makes the same objects. An instance at which
    the process ended three times, such as by a fault in a decoder, is failed, so that it holds up nothing more.

    Args:
        spool: where it is.
        name: its ID.
        predictor: what finds the lesions.
        settings: what to write, and which modality.

    Returns:
        What became of it.

    Raises:
        OutputError: the spool cannot be written to; the instance stays as it is.
        OSError: so does it.
    """
    folder = spool.folder("received", name)
    image, begun = folder / IMAGE, folder / BEGUN
    tries = begun.stat().st_size if begun.exists() else 0
    for path in folder.iterdir():
        if path not in (image, begun):  # of a run that was killed, maybe with another model
            path.unlink()
    if tries < MOST_TRIES:
        begun.write_bytes(b"." * (tries + 1))
        try:
            received = datetime.fromtimestamp(int(image.stat().st_mtime), timezone.utc)
            outcome = SegmentFile(predictor, folder, settings, received)(image, image.stem)
        finally:
            begun.unlink()
    else:
        begun.unlink()
        outcome = Outcome("failed", f"the process ended {tries} times while it was segmented")
    if outcome.state == "skipped":
        spool.forget("received", name)
    elif outcome.state == "done":
        spool.move(name, "done")
    else:
        with atomic_file(folder / REASON) as partial:
            partial.write_text(outcome.reason + "\n", encoding="utf-8")
        spool.move(name, "failed")
    return outcome
