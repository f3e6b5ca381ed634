"""Segment one file, the unit of work of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from bus_monai import __version__
from bus_monai.errors import NotAssessedError, UserError, user_error
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import FindInFrame, Helpers, segment_frames
from bus_monai.inference.write_outputs import FileWriter, OutputError
from bus_monai.io.opened import OpenedSource, SpecialFileError, open_source
from bus_monai.sources.readers import NoReaderError, Readers, UnreadableError
from bus_monai.sources.reading_process import what_is_wrong

if TYPE_CHECKING:
    from bus_monai.dicom.source_header import Algorithm


LARGE_FRAME_PIXELS = 4_000_000
"""Pixels of a frame from which on one file at a time is in memory, whatever the number of threads."""
_ONE_LARGE = Lock()
MAX_REASON = 5_000
"""Letters of a reason: it may quote a path of 4,096, and values of the file, which have no end."""


class LargeFrameError(Exception):
    """A frame is too large for a process that takes none; nothing is written."""


@dataclass(frozen=True)
class SegmentSettings:
    """Settings that the outputs depend on, beside the model.

    Args:
        kinds: what to write, see :data:`~bus_monai.inference.write_outputs.OUTPUT_SUFFIXES`.
        threshold: from which probability on a pixel is lesion.
        modality: DICOM objects of another one are skipped.
        min_area: of a lesion, see :func:`~bus_monai.geometry.lesion.find_findings`.
        any_body_part: segment also what shows something else than a breast, or says so.
    """

    kinds: Sequence[str]
    threshold: float = 0.5
    modality: str = "US"
    min_area: float | None = None
    any_body_part: bool = False


@dataclass(frozen=True)
class SegmentFile:
    """Segment files, one per call, from any thread.

    Args:
        predictor: what finds the lesions.
        out: folder of all outputs.
        settings: what to write, and of what.
        creation: date and time in DICOM objects.
        readers: processes that read the files.
        takes_large_frames: else it leaves them to the one process that does, see :data:`LARGE_FRAME_PIXELS`.
        check: is told of each file, and its modality, before anything is done with it; raises
            :class:`~bus_monai.errors.NotAssessedError` where it is not wanted.
        helpers: what segments the frames of a cine at once; pickled, it has none.
    """

    predictor: Predictor
    out: Path
    settings: SegmentSettings
    creation: datetime
    readers: Readers = field(default_factory=Readers, compare=False, repr=False)
    takes_large_frames: bool = True
    check: Callable[[OpenedSource, str], None] | None = field(default=None, compare=False, repr=False)
    helpers: Helpers | None = field(default=None, compare=False, repr=False)

    def __call__(self, path: Path, name: str) -> Outcome:
        """Segment a file and write its outputs; whatever is wrong with the file is a reason, not an error.

        Raises:
            OutputError: nothing more can be written.
            NoReaderError: nothing more can be read.
            LargeFrameError: it takes none, and the file has one.
        """
        outcome = self._outcome(path, name)
        if len(outcome.reason) <= MAX_REASON:
            return outcome
        return replace(outcome, reason=outcome.reason[:MAX_REASON] + "…")

    @cached_property
    def find(self) -> FindInFrame:
        """What finds the lesions of one frame."""
        settings = self.settings
        return FindInFrame(self.predictor, settings.threshold, settings.min_area, settings.any_body_part)

    def _outcome(self, path: Path, name: str) -> Outcome:
        try:
            with open_source(path) as source:
                return self._segment(source, name)
        except (OutputError, NoReaderError, LargeFrameError):
            raise
        except SpecialFileError as error:
            return Outcome("skipped", str(error))
        except UserError as error:
            return Outcome("failed", str(error))

    def _segment(self, source: OpenedSource, name: str) -> Outcome:
        sha256 = ""
        try:
            sha256 = source.sha256
            with self.readers.open(source) as reading:
                if self.check is not None:
                    self.check(source, reading.modality)
                if reading.modality.upper() not in ("", self.settings.modality.upper()):
                    if reading.modality == "DICOMDIR":
                        return Outcome("skipped", "it is the directory of a disc: give the disc's folder", sha256)
                    return Outcome("skipped", f"its modality is {reading.modality}", sha256)
                reading.check()
                if reading.pixels > LARGE_FRAME_PIXELS and not self.takes_large_frames:
                    raise LargeFrameError
                with _ONE_LARGE if reading.pixels > LARGE_FRAME_PIXELS else nullcontext():
                    result = segment_frames(self.find, source, reading.images, helpers=self.helpers)
                    model = f"{self.predictor.name} {self.predictor.version}, bus_monai {__version__}"
                    writer = FileWriter(source, self.out, name, self._algorithm, self.creation, reading.images, model)
                    outputs = writer.write(result, self.settings.kinds)
                    rows = [_noted(row, [_told(note, source) for note in writer.notes]) for row in result.rows()]
                    return Outcome("done", "", sha256, outputs, tuple(rows))
        except (OutputError, NoReaderError, LargeFrameError):
            raise
        except UnreadableError as error:
            return Outcome("failed", str(error), sha256)
        except Exception as error:  # a library's, which one broken file must not hand to all others
            reason = _told(str(user_error(error) or what_is_wrong(source.path, error)), source)
            return Outcome("not assessed" if isinstance(error, NotAssessedError) else "failed", reason, sha256)

    def _algorithm(self) -> Algorithm:
        from bus_monai.dicom.source_header import Algorithm

        predictor = self.predictor
        return Algorithm(
            predictor.name,
            predictor.version,
            predictor.weights_hash,
            f"{predictor.sensitivity}, threshold {self.settings.threshold:g}",
            predictor.calibration is not None,
        )


def _noted(row: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    return {**row, "note": "; ".join(note for note in (row["note"], *notes) if note)} if notes else row


def _told(reason: str, source: OpenedSource) -> str:
    return _without_identifiers(reason, source) if source.kind == "dicom" else reason


def _without_identifiers(reason: str, source: OpenedSource) -> str:
    from bus_monai.dicom.read import without_identifiers

    return without_identifiers(reason, source)
