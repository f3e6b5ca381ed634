"""Segment all frames of one file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import NotAssessedError
from bus_monai.geometry.box import Region, mask_of
from bus_monai.geometry.lesion import MAX_LESIONS, LesionTracks, find_findings
from bus_monai.inference.predictor import Predictor
from bus_monai.io.gray import check_signal, unpacked_grays
from bus_monai.io.image import SourceImage
from bus_monai.io.masks import PackedFrame, PackedLabels
from bus_monai.io.opened import OpenedSource
from bus_monai.sources.read import read_images
from bus_monai.transforms.image_region import FrameRegions

if TYPE_CHECKING:
    from bus_monai.geometry.lesion import Lesion


MIN_CINE_FRAMES = 10
"""Of a file, from which on its frames are neighbors: what is seen in one of them alone is noise."""
WRITTEN_NOTE = (
    "text stands beside the ultrasound, and BurnedInAnnotation says NO: look for a name before the image or a picture "
    "made of it leaves the house"
)
MAX_LESION_SHARE, MAX_LESION_MM = 0.5, 100
"""Share of the ultrasound image, and long axis, beyond which a finding is hardly a lesion: its note says so."""
MAX_DISTANCE = 1.0
"""From the images that a model knows, see :class:`~bus_monai.networks.blocks.mahalanobis.MahalanobisDistance`."""
FRAMES_HERE, FRAMES_AHEAD = 2, 3
"""Of cines, that a process segments at once, one in the network while another one is measured; and that are begun."""
MAX_AHEAD_PIXELS = 4_000_000
"""Of a frame: of larger ones one at a time is in memory."""
MAX_BEGUN_PIXELS = 4 * MAX_AHEAD_PIXELS
"""Of all frames of a cine that are begun, at most, however many processes there are."""


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


@dataclass(frozen=True)
class Frame:
    """A frame, and what is known of it before it is segmented; pickled it takes little.

    Args:
        image: as read.
        shows: where its ultrasound images are.
    """

    image: SourceImage
    shows: tuple[Region, ...]

    def __reduce__(self) -> tuple[Callable[..., Frame], tuple[object, ...]]:
        return _unpickled, (replace(self.image, pixels=self.image.packed, levels=None), self.shows)


def _unpickled(image: SourceImage, shows: tuple[Region, ...]) -> Frame:
    return Frame(replace(image, pixels=unpacked_grays(image.pixels)), shows)


@dataclass(frozen=True)
class FoundFrame:
    """What one frame of a file shows, whatever the others do.

    Args:
        labels: (H, W), 0 outside; packed where it is one of several.
        lesions: numbered as in the labels.
        area: of all lesions, in pixels.
        specks: components that were too small for a finding.
        surplus: components beyond the largest.
        oversized: findings that are hardly lesions.
        unlike: it does not look like a breast, and no lesion is looked for.
    """

    labels: NDArray[np.uint16] | PackedFrame
    lesions: list[Lesion]
    area: int
    specks: int
    surplus: int
    oversized: int
    unlike: bool


@dataclass(frozen=True)
class FindInFrame:
    """Find the lesions of one frame; threads may call it at once.

    Args:
        predictor: what finds them.
        threshold: from which probability on a pixel is lesion.
        min_area: of a lesion, see :func:`~bus_monai.geometry.lesion.find_findings`.
        any_body_part: look for them also in what does not look like a breast, or says so.
    """

    predictor: Predictor
    threshold: float
    min_area: float | None = None
    any_body_part: bool = False

    def __call__(self, frame: Frame) -> FoundFrame:
        """Return what a frame shows."""
        image = frame.image
        probability, distance = self.predictor.assess(image.pixels, frame.shows)
        unlike = distance > MAX_DISTANCE and not self.any_body_part
        findings = find_findings(
            np.zeros_like(probability) if unlike else probability,
            self.threshold,
            spacing_mm=image.spacing_mm,
            regions=image.regions,
            aspect=image.aspect,
            min_area=self.min_area,
            chance=self.predictor.calibration,
        )
        labels = findings.labels
        return FoundFrame(
            PackedFrame.of(labels) if image.frames > 1 else labels.astype(np.uint16),
            findings.lesions,
            int(np.count_nonzero(labels)),
            findings.specks,
            findings.surplus,
            sum(_is_oversized(lesion, labels, frame.shows) for lesion in findings.lesions),
            unlike,
        )


Find: TypeAlias = Callable[[Frame], FoundFrame]


class Helpers(Protocol):
    """What segments frames of a cine at once."""

    def at_once(self, frames: int) -> int:
        """Return how many frames of a cine of so many may be begun at this moment."""
        ...

    def submit(self, find: Find, frame: Frame, /) -> Future[FoundFrame]:
        """Begin a frame: what comes is what ``find`` returns here, or what as good a function does elsewhere."""
        ...


def segment_frames(
    find: FindInFrame,
    source: OpenedSource,
    images: Callable[[], Generator[SourceImage, None, None]] | None = None,
    *,
    helpers: Helpers | None = None,
) -> SegmentedFile:
    """Decode and segment a file frame by frame.

    Args:
        find: what finds the lesions of each frame, and says whether a file is segmented that shows another body part.
        source: the file, opened; its frames are read in one pass.
        images: what reads the frames, in this process where there is nothing else.
        helpers: what segments the frames of a cine at once, threads of this process where there is nothing else; they
            change no result.

    Raises:
        NotAssessedError: it says that it shows something else, most of its frames are unlike all that the model knows,
            or it holds no signal.
        UserError: the file cannot be read.
    """
    if source.kind == "dicom" and not find.any_body_part:
        from bus_monai.dicom.body_part import check_body_part

        check_body_part(source)
    labels, tracks = PackedLabels(), LesionTracks()
    found: list[list[Lesion]] = []
    spacing, summary, shown, most, signal = None, 0, None, -1, False
    specks = surplus = unlike = oversized = 0
    notes: dict[str, None] = {}
    # closed here, while the file is still open
    with (
        closing(images() if images else read_images(source)) as decoded,
        closing(_in_order(find, _frames(decoded), helpers)) as segmented,
    ):
        for frame, here in segmented:
            image = frame.image
            notes.update(dict.fromkeys(image.notes))
            if image.frame == 0 and _may_name_a_patient(source, image.pixels, frame.shows):
                notes[WRITTEN_NOTE] = None
            labels.append(here.labels)
            if isinstance(here.labels, PackedFrame):
                tracks.add(here.labels.unpacked())
            found.append(here.lesions)
            specks, surplus = specks + here.specks, surplus + here.surplus
            unlike, oversized = unlike + here.unlike, oversized + here.oversized
            spacing, signal = image.spacing_mm, signal or bool(image.pixels.any())
            if here.area > most:
                summary, shown, most = image.frame, image.pixels, here.area
    check_signal(source.path, signal)
    assert shown is not None
    if unlike > len(labels) / 2:
        raise unlike_breast(source.path)
    flickers = 0
    if len(labels) > 1:
        found, flickers = _followed(labels, found, tracks.lesions)
    if flickers:
        areas = [int(np.count_nonzero(numbers)) for numbers in labels]
        if areas[summary] < most:
            summary = int(np.argmax(areas))
            shown = _pixels_of(images() if images else read_images(source), summary)
    return SegmentedFile(
        labels, found, spacing, summary, shown, specks, surplus, unlike, oversized, flickers, tuple(notes)
    )


def _frames(images: Iterable[SourceImage]) -> Iterator[Frame]:
    regions = FrameRegions()
    for image in images:
        yield Frame(image, regions(image.pixels, image.images, image.levels))


def _in_order(
    find: Find, frames: Iterable[Frame], helpers: Helpers | None
) -> Generator[tuple[Frame, FoundFrame], None, None]:
    """Yield frames of a file with what they show, while the next ones of a cine are read and segmented."""
    begun: deque[tuple[Frame, Future[FoundFrame]]] = deque()
    with ThreadPoolExecutor(FRAMES_HERE, "frames") as threads:
        try:
            for frame in frames:
                count, pixels = frame.image.frames, frame.image.pixels.size
                if count == 1 or pixels > MAX_AHEAD_PIXELS:
                    yield frame, find(frame)
                    continue
                begun.append((frame, (helpers or threads).submit(find, frame)))
                at_once = helpers.at_once(count) if helpers else FRAMES_AHEAD
                while len(begun) >= min(at_once, MAX_BEGUN_PIXELS // pixels):
                    done, found = begun.popleft()
                    yield done, found.result()
            for done, found in begun:
                yield done, found.result()
        finally:
            for _, found in begun:
                found.cancel()


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


def _followed(
    labels: PackedLabels, lesions: list[list[Lesion]], tracks: list[dict[int, int]]
) -> tuple[list[list[Lesion]], int]:
    """Give each lesion one number through all frames; leave out, and count, what a cine shows in one frame alone."""
    kept = [track for track in tracks if len(track) > 1 or len(labels) < MIN_CINE_FRAMES]
    names = [np.zeros(len(of_frame) + 1, np.uint16) for of_frame in lesions]
    for number, track in enumerate(kept, start=1):
        for frame, before in track.items():
            names[frame][before] = number
    for frame, table in enumerate(names):
        if (table != np.arange(len(table))).any():
            labels.rename(frame, table)
    named = [
        [replace(lesion, number=int(table[lesion.number])) for lesion in of_frame if table[lesion.number]]
        for table, of_frame in zip(names, lesions, strict=True)
    ]
    return [sorted(of_frame, key=lambda lesion: lesion.number) for of_frame in named], len(tracks) - len(kept)


def _columns(lesion: Lesion) -> dict[str, Any]:
    box = {"top": lesion.box.top, "left": lesion.box.left, "height": lesion.box.height, "width": lesion.box.width}
    values = vars(lesion) | box
    del values["box"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
