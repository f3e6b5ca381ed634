"""The files of one segmented file."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bus_monai.atomic_file import atomic_file
from bus_monai.errors import UserError
from bus_monai.inference.outputs import DICOM_KINDS, output_path
from bus_monai.inference.overlay import draw_overlay
from bus_monai.inference.segment_frames import SegmentedFile, read_all_frames
from bus_monai.mask_file import write_nifti_mask, write_png_mask
from bus_monai.source import source_kind

if TYPE_CHECKING:
    from bus_monai.dicom.algorithm import Algorithm

OF_THE_FOLDER = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""Errors that the next file would meet too."""

FAST_PNG = 3
"""Of zlib: speckle hardly packs, and a third of the time makes a tenth more bytes than the default, 6."""


class OutputError(UserError):
    """Nothing more can be written: the job ends."""


class FileWriter:
    """Write what was found in one file, each output whole or not at all.

    Args:
        source: the file.
        out: folder of all outputs.
        name: of this file's outputs, see :func:`~bus_monai.inference.outputs.candidate_names`.
        algorithm: what made them, in DICOM.
        creation: date and time in DICOM.

    Raises:
        OutputError: the folder cannot be written to.
        UserError: this file's outputs cannot be made.
    """

    def __init__(self, source: Path, out: Path, name: str, algorithm: Callable[[], Algorithm], creation: datetime):
        self.source, self.out, self.name = source, out, name
        self.algorithm, self.creation = algorithm, creation
        self.written: list[Path] = []

    def write(self, result: SegmentedFile, kinds: Sequence[str]) -> tuple[str, ...]:
        """Write some kinds and return the paths, relative to the folder of all outputs; all kinds or none."""
        is_dicom = source_kind(self.source) == "dicom"
        with self._errors(), self._all_or_none():
            parent = (self.out / self.name).parent
            parent.mkdir(parents=True, exist_ok=True)
            if not parent.resolve().is_relative_to(self.out.resolve()):
                raise UserError(f"'{parent}' leads outside '{self.out}': remove that link.")
            if "png" in kinds:
                self._write_masks(result)
            if "overlay" in kinds:
                labels = result.labels[result.summary]
                overlay = Image.fromarray(draw_overlay(result.summary_pixels, labels))
                with atomic_file(self._path("overlay")) as partial:
                    overlay.save(partial, format="PNG", compress_level=FAST_PNG)
            if "nifti" in kinds:
                masks = [labels > 0 for labels in result.labels]
                write_nifti_mask(masks, self.source, self._path("nifti"), spacing_mm=result.spacing_mm)
            if is_dicom and DICOM_KINDS & set(kinds):
                self._write_objects(result, kinds)
        return tuple(path.relative_to(self.out).as_posix() for path in self.written)

    def _path(self, kind: str, frame: int | None = None, frames: int = 1) -> Path:
        path = output_path(self.out, self.name, kind, frame=frame, frames=frames)
        self.written.append(path)
        return path

    def _write_masks(self, result: SegmentedFile) -> None:
        frames = len(result.labels)
        for frame, labels in enumerate(result.labels):
            write_png_mask(labels > 0, self._path("png", frame if frames > 1 else None, frames))

    def _write_objects(self, result: SegmentedFile, kinds: Sequence[str]) -> None:
        import pydicom

        from bus_monai.dicom.write import write_dicom

        header = pydicom.dcmread(self.source, stop_before_pixels=True, force=True)
        algorithm, creation, frames = self.algorithm(), self.creation, len(result.labels)
        objects: list[pydicom.Dataset] = []
        if "seg" in kinds:
            from bus_monai.dicom.segmentation import make_segmentations

            labels = np.stack(result.labels).astype(np.int32)
            objects = make_segmentations(header, labels, algorithm, creation=creation)
            shown: list[int | None] = [frame for frame in range(frames) if labels[frame].any()]
            if frames == 1 or len(objects) < len(shown):
                shown = [None] * len(objects)
            for made, frame in zip(objects, shown, strict=True):
                write_dicom(made, self._path("seg", frame, frames))
        if "sr" in kinds:
            from bus_monai.dicom.measurement_report import make_report

            report = make_report(header, objects, result.lesions, algorithm, creation=creation)
            write_dicom(report, self._path("sr"))
        if "sc" in kinds:
            from bus_monai.dicom.secondary_capture import make_secondary_capture

            pictures = zip(read_all_frames(self.source), result.labels, strict=True)
            rgb = np.stack([draw_overlay(image.pixels, labels) for image, labels in pictures])
            write_dicom(make_secondary_capture(header, rgb, algorithm, creation=creation), self._path("sc"))

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
            if cause.errno in OF_THE_FOLDER:
                raise OutputError(
                    f"Cannot write to '{self.out}' ({cause.strerror}): free space, mend its permissions or give "
                    "another --out, and run the command again; what was done before is whole and is not done again."
                ) from error
            raise UserError(
                f"The outputs of '{self.source}' cannot be written ({cause.strerror}): rename the file."
            ) from error
