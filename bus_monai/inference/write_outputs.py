"""The files of one segmented file: masks, overlays, DICOM objects, and the tables of a job."""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from datetime import datetime, timezone
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TextIO

import numpy as np

from bus_monai.errors import UserError, check_choice, user_error, writing
from bus_monai.inference.overlay import draw_overlay
from bus_monai.inference.segment_frames import SegmentedFile
from bus_monai.io.atomic import atomic_file, plain_cell
from bus_monai.io.image import SourceImage, image_stem
from bus_monai.io.masks import PackedLabels, frame_mark, write_color_png, write_nifti_mask, write_png_mask
from bus_monai.io.ours import OUTPUT_SUFFIXES as OUTPUT_SUFFIXES
from bus_monai.io.ours import check_replaced
from bus_monai.sources.reading_process import what_is_wrong

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from bus_monai.dicom.source_header import Algorithm
    from bus_monai.io.opened import OpenedSource


class PlainTable:
    """A table as CSV whose texts are no formulas and have no newlines.

    Args:
        file: opened to write.
    """

    def __init__(self, file: TextIO) -> None:
        self._table = csv.writer(file)

    def writerow(self, row: Iterable[object]) -> None:
        """Write a line."""
        self._table.writerow(map(plain_cell, row))

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write lines."""
        for row in rows:
            self.writerow(row)


@contextmanager
def job_tables(out: Path, columns: Mapping[str, Sequence[str]], *, pictures: str) -> Iterator[list[PlainTable]]:
    """Make ``out``, and yield a :class:`PlainTable` of each, whose lines are on disk as they are written.

    Args:
        out: folder of the results.
        columns: header of each table, by the name of its file.
        pictures: what else the job writes, in words.

    Raises:
        UserError: something cannot be written, in the tables or within the block.
    """
    headers = [",".join(header) for header in columns.values()]
    check_replaced((out / name for name in columns), option="--out", columns=headers)
    with writing(out, option="--out", kept=f"the {pictures} written before are whole"), ExitStack() as stack:
        out.mkdir(parents=True, exist_ok=True)
        tables = []
        for name, header in columns.items():
            file = stack.enter_context((out / name).open("w", newline="", encoding="utf-8", buffering=1))
            tables.append(PlainTable(file))
            tables[-1].writerow(header)
        yield tables


DICOM_KINDS = frozenset({"seg", "sr", "sc", "gsps"})
"""Written for DICOM sources alone: they carry its patient and study."""
WRITING_THREADS = 4
"""Of the masks of a cine."""
_LIKE_A_FRAME = re.compile(r"_frame\d+$")


def parse_kinds(text: str) -> tuple[str, ...]:
    """Read ``seg,sr,png``; kinds come in the order of ``OUTPUT_SUFFIXES``.

    Raises:
        UserError: a kind that there is not, or none.
    """
    wanted = {word.strip() for word in text.split(",")}
    for kind in sorted(wanted):
        check_choice("--write", kind, OUTPUT_SUFFIXES)
    return tuple(kind for kind in OUTPUT_SUFFIXES if kind in wanted)


def candidate_names(relative: PurePosixPath) -> Iterator[str]:
    """Yield names without ending for the outputs of a file, the nicest first, of which one is to be chosen.

    ``a/b.dcm`` gives ``a/b``, then ``a/b_dcm``, ``a/b_dcm_2``, ... No two different names give the same file, whatever
    the kind and the frame.
    """
    stem = image_stem(relative.name)
    # 'b_frame003' is for the third frame of a cine 'b'
    if stem and not _LIKE_A_FRAME.search(stem):
        yield str(relative.with_name(stem))
    full = str(relative.with_name(relative.name.replace(".", "_")))
    if not _LIKE_A_FRAME.search(full):
        yield full
    yield from (f"{full}_{number}" for number in count(2))


def output_path(out: Path, name: str, kind: str, *, frame: int | None = None, frames: int = 1) -> Path:
    """Return the path of one output.

    Args:
        out: folder of all outputs.
        name: one of :func:`candidate_names`.
        kind: one of ``OUTPUT_SUFFIXES``.
        frame: of a cine, from 0, where there is one file per frame.
        frames: of the cine, which decides on the digits, at least three.
    """
    return out / (name + ("" if frame is None else frame_mark(frame, frames)) + OUTPUT_SUFFIXES[kind])


FOLDER_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""Errors that the next file would meet too."""


RERUN_HINT = "run the command again, what was done before is whole and is not done again"
"""Advice of an error that ends a job early."""


class OutputError(UserError):
    """Nothing more can be written: the job ends."""


class FileWriter:
    """Write what was found in one file, each output whole or not at all.

    Args:
        source: the file, opened.
        out: folder of all outputs.
        name: of this file's outputs, see :func:`~bus_monai.inference.write_outputs.candidate_names`.
        algorithm: what made them, in DICOM.
        creation: date and time in DICOM.
        images: reads the frames once more.
        model: what made them, in words on pictures.

    Raises:
        OutputError: the folder cannot be written to.
        UserError: this file's outputs cannot be made.
    """

    def __init__(
        self,
        source: OpenedSource,
        out: Path,
        name: str,
        algorithm: Callable[[], Algorithm],
        creation: datetime,
        images: Callable[[], Iterator[SourceImage]],
        model: str = "",
    ) -> None:
        self.source, self.out, self.name = source, out, name
        self.algorithm, self.creation, self.images, self.model = algorithm, creation, images, model
        self.written: list[Path] = []
        self.notes: list[str] = []

    def write(self, result: SegmentedFile, kinds: Sequence[str]) -> tuple[str, ...]:
        """Write some kinds and return the paths, relative to the folder of all outputs; all kinds or none.

        An object that cannot be made of what the source says costs itself alone, and ``notes`` say why; where nothing
        else was asked for, it is an error.
        """
        with self._errors(), self._all_or_none():
            parent = (self.out / self.name).parent
            if not self.out.is_dir():  # or it would be made again, without what was in it
                raise OutputError(f"'{self.out}' was removed while the job ran: run the command again.", path=self.out)
            if parent != self.out:
                parent.mkdir(parents=True, exist_ok=True)
                if not parent.resolve().is_relative_to(self.out.resolve()):
                    raise UserError(f"'{parent}' leads outside '{self.out}': remove that link.")
            if "png" in kinds:
                self._write_masks(result)
            if "overlay" in kinds:
                labels, lesions = result.labels[result.summary], result.lesions[result.summary]
                with atomic_file(self._path("overlay")) as partial:
                    write_color_png(draw_overlay(result.summary_pixels, labels, lesions, self.model), partial)
            if "nifti" in kinds:
                reference = self.source.path if self.source.kind == "nifti" else None
                masks = PackedLabels()
                for labels in result.labels:
                    masks.append((labels > 0).astype(np.uint16))
                write_nifti_mask(masks, reference, self._path("nifti"), spacing_mm=result.spacing_mm)
            if self.source.kind == "dicom" and DICOM_KINDS & set(kinds):
                self._write_objects(result, kinds)
        return tuple(path.relative_to(self.out).as_posix() for path in self.written)

    def _path(self, kind: str, frame: int | None = None, frames: int = 1) -> Path:
        path = output_path(self.out, self.name, kind, frame=frame, frames=frames)
        self.written.append(path)
        return path

    def _write_masks(self, result: SegmentedFile) -> None:
        frames = len(result.labels)
        if frames == 1:
            write_png_mask(result.labels[0] > 0, self._path("png"))
            return
        paths = [self._path("png", frame, frames) for frame in range(frames)]
        with ThreadPoolExecutor(WRITING_THREADS) as threads:
            # a file waits for the disk, and others are packed meanwhile; the first error ends what is not begun
            for _ in threads.map(lambda frame: write_png_mask(result.labels[frame] > 0, paths[frame]), range(frames)):
                pass

    def _write_objects(self, result: SegmentedFile, kinds: Sequence[str]) -> None:
        header, algorithm = self._header(len(result.labels), *result.summary_pixels.shape), self.algorithm()
        objects: list[Dataset] = []
        if "seg" in kinds:
            with self._optional("seg"):
                objects = self._write_segmentations(result, header, algorithm)
        if "sr" in kinds:
            from bus_monai.dicom.measurement_report import make_report

            with self._optional("sr"):
                report = make_report(header, objects, result.lesions, algorithm, creation=self.creation)
                self._write_object(report, "sr")
        if "sc" in kinds:
            from bus_monai.dicom.secondary_capture import make_secondary_capture

            with self._optional("sc"):
                # decoded once more, so that no cine lies in memory as floats
                frames = zip(self.images(), result.labels, result.lesions, strict=True)
                rgb = (draw_overlay(image.pixels, labels, lesions, self.model) for image, labels, lesions in frames)
                self._write_object(make_secondary_capture(header, rgb, algorithm, creation=self.creation), "sc")
        if "gsps" in kinds:
            from bus_monai.dicom.presentation_state import make_presentation_state

            with self._optional("gsps"):
                state = make_presentation_state(
                    header, result.labels, result.lesions, algorithm, creation=self.creation
                )
                self._write_object(state, "gsps")
        if self.notes and not self.written:
            raise UserError(self.notes[0].partition(": ")[2], path=self.source.path)

    def _header(self, frames: int, rows: int, columns: int) -> Dataset:
        """Return the header with the number and the size of the frames that there are."""
        header = self.source.header
        is_counted = int(header.get("NumberOfFrames") or 1) == frames
        if is_counted and (header.get("Rows"), header.get("Columns")) == (rows, columns):
            return header
        told = copy(header)
        if not is_counted:
            told.NumberOfFrames = frames
        told.Rows, told.Columns = rows, columns
        return told

    def _write_segmentations(self, result: SegmentedFile, header: Dataset, algorithm: Algorithm) -> list[Dataset]:
        from bus_monai.dicom.segmentation import frame_of, iterate_segmentations

        frames = len(result.labels)
        objects = []
        for made in iterate_segmentations(header, result.labels, algorithm, creation=self.creation):
            self._write_object(made, "seg", frame_of(made) if frames > 1 else None, frames)
            # what the report does not refer to; a long cine has thousands of them
            del made.PixelData, made.PerFrameFunctionalGroupsSequence
            objects.append(made)
        return objects

    def _write_object(self, made: Dataset, kind: str, frame: int | None = None, frames: int = 1) -> None:
        from bus_monai.dicom.source_header import write_dicom

        write_dicom(made, self._path(kind, frame, frames))

    @contextmanager
    def _optional(self, kind: str) -> Iterator[None]:
        """Let an object that the source is not fit for cost nothing but itself, and note why."""
        before = len(self.written)
        try:
            yield
        except (OSError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error.__cause__, OSError):
                raise
            for path in self.written[before:]:
                path.unlink(missing_ok=True)
            del self.written[before:]
            self.notes.append(f"no {kind.upper()}: {user_error(error) or what_is_wrong(self.source.path, error)}")

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            for path in self.written:
                with suppress(OSError):
                    path.unlink()
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UserError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            if cause.errno in FOLDER_ERRNOS:
                with writing(self.out, option="--out", kept=RERUN_HINT, raises=OutputError):
                    raise cause from None
            raise UserError(
                f"The outputs of '{self.source.path}' cannot be written ({cause.strerror}): rename the file."
            ) from error


DATE_VARIABLE = "SOURCE_DATE_EPOCH"
"""Variable of the environment with the date of results, https://reproducible-builds.org/specs/source-date-epoch."""


def source_date() -> datetime | None:
    """Return the date that the environment sets; ``None`` where it sets none.

    Raises:
        UserError: it is no whole number of seconds.
    """
    epoch = os.environ.get(DATE_VARIABLE)
    if not epoch:
        return None
    try:
        return datetime.fromtimestamp(int(epoch), timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(
            f"The environment variable {DATE_VARIABLE} is {epoch!r}: give whole seconds since 1970, or unset it.",
            key=DATE_VARIABLE,
        ) from error
