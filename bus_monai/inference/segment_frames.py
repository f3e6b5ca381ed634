"""Segment all frames of one file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from os import SEEK_END
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import NotAssessedError
from bus_monai.geometry.box import Box, Region, mask_of
from bus_monai.geometry.lesion import MAX_LESIONS, bounding_box, find_findings
from bus_monai.inference.backends.backend import Prediction
from bus_monai.inference.predictor import Predictor
from bus_monai.io.gray import check_signal
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import OpenedSource
from bus_monai.sources.read import read_images
from bus_monai.transforms.image_region import FrameRegions

if TYPE_CHECKING:
    from bus_monai.geometry.lesion import Lesion


MIN_CINE_FRAMES = 10
"""Of a file, from which on its frames are neighbors: what is seen in one of them alone is noise."""
MAX_LESION_SHARE, MAX_LESION_MM = 0.5, 100
"""Share of the ultrasound image, and long axis, beyond which a finding is hardly a lesion: its note says so."""
WRITTEN_NOTE = (
    "text stands beside the ultrasound, and BurnedInAnnotation says NO: look for a name before the image or a picture "
    "made of it leaves the house"
)
MAX_DISTANCE = 1.0
"""From the images that a model knows, see :class:`~bus_monai.networks.blocks.mahalanobis.MahalanobisDistance`."""


MAX_AHEAD_PIXELS = 4_000_000
"""Of a frame: of larger ones one at a time is in memory."""
MAX_KEPT_BYTES = 8_000_000
"""Of packed labels, in memory."""


class PackedLabels(Sequence[NDArray[np.uint16]]):
    """Labels (H, W) of frames, packed, beyond some megabytes in a temporary file: a cine of any length takes no more.

    Example:
        >>> labels = PackedLabels()
        >>> labels.append(np.eye(2, dtype=np.uint16))
        >>> len(labels), labels[0].tolist()
        (1, [[1, 0], [0, 1]])
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_KEPT_BYTES)  # noqa: SIM115 (it ends with the labels)
        self._turn = Lock()
        self._places: list[tuple[tuple[int, ...], Box, int, int]] = []
        self._only: NDArray[np.uint16] | None = None

    def append(self, labels: NDArray[np.uint16]) -> None:
        """Add a frame."""
        # what is no cine is neither packed nor unpacked
        if not self._places and self._only is None:
            self._only = labels
            return
        if self._only is not None:
            only, self._only = self._only, None
            self._pack(only)
        self._pack(labels)

    def _pack(self, labels: NDArray[np.uint16]) -> None:
        # the rest is 0
        box = bounding_box(labels > 0)
        packed = zlib.compress(labels[box.slices].tobytes(), 1)
        with self._turn:
            self._file.seek(0, SEEK_END)
            self._places.append((labels.shape, box, self._file.tell(), len(packed)))
            self._file.write(packed)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint16]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint16]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint16] | list[NDArray[np.uint16]]:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        if self._only is not None:
            return (self._only,)[index]
        shape, box, start, length = self._places[index]
        with self._turn:
            self._file.seek(start)
            packed = self._file.read(length)
        labels = np.zeros(shape, np.uint16)
        labels[box.slices] = np.frombuffer(zlib.decompress(packed), np.uint16).reshape(box.height, box.width)
        return labels

    def __len__(self) -> int:
        return len(self._places) or int(self._only is not None)


@dataclass(frozen=True)
class SegmentedFile:
    """Lesions of all frames of a file.

    Args:
        labels: (H, W) a frame, 0 outside; a lesion has the same number in every frame of a cine.
        lesions: of each frame, numbered as in the labels.
        spacing_mm: of rows and columns, ``None`` where not known.
        summary: number of the frame that shows most lesion, the first among equals.
        summary_pixels: (H, W), that frame.
        specks: components of all frames that were too small for a finding.
        surplus: components of all frames beyond the largest of their frame.
        unlike: frames that do not look like a breast, in which no lesion is looked for.
        oversized: findings of all frames that are hardly lesions.
        flickers: findings of a cine that were seen in one frame alone.
        notes: on what the file says wrong of itself, or does not say.
    """

    labels: Sequence[NDArray[np.uint16]]
    lesions: list[list[Lesion]]
    spacing_mm: tuple[float, float] | None
    summary: int
    summary_pixels: NDArray[np.float32]
    specks: int = 0
    surplus: int = 0
    unlike: int = 0
    oversized: int = 0
    flickers: int = 0
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Note on lesions that were left out, or are none by their size, and on what the file says of itself."""
        notes = [f"{self.specks} too small for a finding left out"] if self.specks else []
        if self.surplus:
            notes.append(f"{self.surplus} beyond the {MAX_LESIONS} largest of a frame left out")
        if self.flickers:
            notes.append(f"{self.flickers} seen in one frame alone left out")
        if self.unlike:
            notes.append(f"{self.unlike} of {len(self.labels)} frames do not look like a breast and are left out")
        if self.oversized:
            notes.append(
                f"{self.oversized} larger than half of the image or longer than {MAX_LESION_MM} mm: check them"
            )
        notes += self.notes
        return "; ".join(notes)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per lesion, by the frame that shows most of it, or one row where there is none.

        Each also says what was left out of the file.
        """
        best: dict[int, tuple[int, Lesion]] = {}
        seen: dict[int, list[int]] = {}
        for frame, lesions in enumerate(self.lesions):
            for lesion in lesions:
                seen.setdefault(lesion.number, []).append(frame)
                if lesion.number not in best or lesion.area > best[lesion.number][1].area:
                    best[lesion.number] = (frame, lesion)
        left_out = {"note": self.note, "surplus": self.surplus}
        if not best:
            return [{"frame": self.summary, "lesions": 0} | left_out]
        return [
            {"frame": frame, "first_frame": seen[number][0], "last_frame": seen[number][-1], "lesions": len(best)}
            | left_out
            | _columns(lesion)
            for number, (frame, lesion) in sorted(best.items())
        ]


def segment_frames(
    predictor: Predictor,
    source: OpenedSource,
    threshold: float,
    min_area: float | None = None,
    images: Callable[[], Generator[SourceImage, None, None]] | None = None,
    *,
    any_body_part: bool = False,
) -> SegmentedFile:
    """Decode and segment a file frame by frame.

    Args:
        predictor: what finds the lesions.
        source: the file, opened; its frames are read in one pass.
        threshold: from which probability on a pixel is lesion.
        min_area: of a lesion, see :func:`~bus_monai.geometry.lesion.find_findings`.
        images: what reads the frames, in this process where there is nothing else.
        any_body_part: segment it also where it shows something else than a breast, or says so.

    Raises:
        NotAssessedError: it says that it shows something else, most of its frames are unlike all that the model knows,
            or it holds no signal.
        UserError: the file cannot be read.
    """
    if source.kind == "dicom" and not any_body_part:
        from bus_monai.dicom.body_part import check_body_part

        check_body_part(source)
    labels = PackedLabels()
    found: list[list[Lesion]] = []
    spacing, summary, shown, most, signal = None, 0, None, -1, False
    specks = surplus = unlike = oversized = 0
    notes: dict[str, None] = {}
    # closed here, while the file is still open
    with (
        closing(images() if images else read_images(source)) as decoded,
        closing(_one_ahead(_assessed(predictor, decoded))) as assessed,
    ):
        for image, shows, predicted in assessed:
            probability = predicted.probability
            if predicted.distance > MAX_DISTANCE and not any_body_part:
                probability, unlike = np.zeros_like(probability), unlike + 1
            findings = find_findings(
                probability,
                threshold,
                spacing_mm=image.spacing_mm,
                regions=image.regions,
                aspect=image.aspect,
                min_area=min_area,
                chance=predictor.calibration,
            )
            notes.update(dict.fromkeys(image.notes))
            if image.frame == 0 and _may_name_a_patient(source, image.pixels, shows):
                notes[WRITTEN_NOTE] = None
            labels.append(findings.labels.astype(np.uint16))
            found.append(findings.lesions)
            specks, surplus = specks + findings.specks, surplus + findings.surplus
            oversized += sum(_is_oversized(lesion, findings.labels, shows) for lesion in findings.lesions)
            spacing, signal = image.spacing_mm, signal or bool(image.pixels.any())
            area = int(np.count_nonzero(findings.labels))
            if area > most:
                summary, shown, most = image.frame, image.pixels, area
    check_signal(source.path, signal)
    assert shown is not None
    if unlike > len(labels) / 2:
        raise unlike_breast(source.path)
    flickers = 0
    if len(labels) > 1:
        labels, found, flickers = _followed(labels, found)
    if flickers:
        areas = [int(np.count_nonzero(numbers)) for numbers in labels]
        if areas[summary] < most:
            summary = int(np.argmax(areas))
            shown = _pixels_of(images() if images else read_images(source), summary)
    return SegmentedFile(
        labels, found, spacing, summary, shown, specks, surplus, unlike, oversized, flickers, tuple(notes)
    )


_Assessed: TypeAlias = tuple[SourceImage, tuple[Region, ...], Prediction]


def _assessed(predictor: Predictor, images: Iterable[SourceImage]) -> Generator[_Assessed, None, None]:
    regions = FrameRegions()
    for image in images:
        shows = regions(image.pixels, image.images)
        yield image, shows, predictor.assess(image.pixels, shows)


def _one_ahead(frames: Generator[_Assessed, None, None]) -> Generator[_Assessed, None, None]:
    """Yield the frames of a cine, of which another thread computes the next meanwhile."""
    first = next(frames, None)
    if first is None:
        return
    if first[0].frames == 1 or first[0].pixels.size > MAX_AHEAD_PIXELS:
        yield first
        yield from frames
        return
    with ThreadPoolExecutor(1, thread_name_prefix="frames") as thread:
        frame: _Assessed | None = first
        while frame is not None:
            following = thread.submit(next, frames, None)
            yield frame
            frame = following.result()


def _may_name_a_patient(source: OpenedSource, pixels: NDArray[np.float32], shows: Sequence[Region]) -> bool:
    """Whether lines of text stand beside the ultrasound of an object that says that nobody is named in its pixels."""
    if source.kind != "dicom" or str(source.header.get("BurnedInAnnotation") or "").strip() != "NO":
        return False
    from bus_monai.data.audit.content import count_text_lines, stroke_contrast

    return count_text_lines(stroke_contrast(np.where(mask_of(shows, pixels.shape), np.float32(0), pixels))) > 0


def _pixels_of(images: Generator[SourceImage, None, None], frame: int) -> NDArray[np.float32]:
    with closing(images):
        return next(islice(images, frame, None)).pixels


def _is_oversized(lesion: Lesion, labels: NDArray[np.integer], regions: Sequence[Region]) -> bool:
    if lesion.unit == "mm" and lesion.long_axis > MAX_LESION_MM:
        return True
    areas = (region.box.area for region in regions if region.box.intersection(lesion.box).area)
    largest = MAX_LESION_SHARE * max(areas, default=labels.size)
    # the box tells most of them apart without a look at the pixels
    return lesion.box.area > largest and bool(np.count_nonzero(labels == lesion.number) > largest)


def unlike_breast(name: str | Path) -> NotAssessedError:
    """Return what to say of an image that is further than ``MAX_DISTANCE`` from all that the model knows."""
    return NotAssessedError(
        f"'{name}' is not assessed: it does not look like ultrasound of a breast; give --any-body-part "
        "(any_body_part=True) to segment it all the same.",
        path=name,
        key="any_body_part",
    )


def _followed(labels: PackedLabels, lesions: list[list[Lesion]]) -> tuple[PackedLabels, list[list[Lesion]], int]:
    """Give each lesion one number through all frames; leave out, and count, what a cine shows in one frame alone."""
    from bus_monai.geometry.lesion import track_lesions

    tracks = track_lesions(numbers.astype(np.int32) for numbers in labels)
    kept = [track for track in tracks if len(track) > 1 or len(labels) < MIN_CINE_FRAMES]
    maps: list[dict[int, int]] = [{} for _ in labels]
    for number, track in enumerate(kept, start=1):
        for frame, before in track.items():
            maps[frame][before] = number
    renumbered = PackedLabels()
    for names, numbers in zip(maps, labels, strict=True):
        table = np.zeros(int(numbers.max()) + 1, dtype=np.uint16)
        for before, after in names.items():
            table[before] = after
        renumbered.append(table[numbers])
    named = [
        [replace(lesion, number=names[lesion.number]) for lesion in of_frame if lesion.number in names]
        for names, of_frame in zip(maps, lesions, strict=True)
    ]
    return (
        renumbered,
        [sorted(of_frame, key=lambda lesion: lesion.number) for of_frame in named],
        len(tracks) - len(kept),
    )


def _columns(lesion: Lesion) -> dict[str, Any]:
    box = {"top": lesion.box.top, "left": lesion.box.left, "height": lesion.box.height, "width": lesion.box.width}
    values = vars(lesion) | box
    del values["box"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
