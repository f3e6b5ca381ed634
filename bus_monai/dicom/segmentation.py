"""Lesions as DICOM segmentations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.enum import CoordinateSystemNames
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.spatial import get_image_coordinate_system
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, UltrasoundImageStorage

from bus_monai.dicom.read import spacing_mm
from bus_monai.dicom.source_header import Algorithm, as_ultrasound, derived_uid, source_header, stamp
from bus_monai.io.ours import RESEARCH

SERIES_NUMBER = 901
"""Above those that scanners give."""
ALL_FRAMES = "RESEARCH: lesions of all frames"


def make_segmentations(
    source: Dataset, labels: Sequence[NDArray[np.integer]], algorithm: Algorithm, *, creation: datetime
) -> list[Dataset]:
    """Make segmentations (BINARY) with a segment a lesion, all that :func:`iterate_segmentations` yields."""
    return list(iterate_segmentations(source, labels, algorithm, creation=creation))


def iterate_segmentations(
    source: Dataset, labels: Sequence[NDArray[np.integer]], algorithm: Algorithm, *, creation: datetime
) -> Iterator[Dataset]:
    """Yield segmentations (BINARY) with a segment a lesion, made one at a time.

    A cine gives one object of all frames, as does a source with positions in a frame of reference, such as Enhanced MR.
    An object for each frame that holds a lesion is made of what may not be told its frames, see
    :func:`has_frame_numbers`, and where one would have more than :data:`MAX_BYTES`.

    Args:
        source: the image, as read; its pixels are not needed.
        labels: (H, W) a frame, 0 outside; a number that occurs in several frames is one lesion, and has one tracking
            UID.
        algorithm: what found the lesions.
        creation: date and time of the content; with the same one a repeated run makes the same bytes.

    Yields:
        The objects, none where there is no lesion. Segments of an object count from 1; which lesion a segment is, its
        label ("Lesion 3") and its tracking identifier say.

    Raises:
        UserError: the source lacks a valid identifier.
        ValueError: labels are not of the source's size.
    """
    header = source_header(source)
    shape = (len(labels), *labels[0].shape)
    if shape != (int(header.get("NumberOfFrames") or 1), header.Rows, header.Columns):
        raise ValueError(f"Labels of shape {shape} are not those of the source's frames.")
    if _has_positions(header):
        stacked = np.stack(labels)
        if stacked.any():
            yield _segmentation(header, header, stacked, None, algorithm, creation)
        return
    plain = _single_frame(header)
    lesions = _PackedLesions.of(labels) if has_frame_numbers(header) else None
    if lesions is not None:
        if lesions.frames:
            yield _of_cine(plain, header, lesions, algorithm, creation)
        return
    for frame, numbers in enumerate(labels):
        if numbers.any():
            yield _segmentation(plain, header, numbers, frame, algorithm, creation)


MAX_BYTES = 100_000_000
"""Of the pixels of an object of all frames of a cine, which are in memory."""


@dataclass(frozen=True)
class _PackedLesions:
    """Each lesion in each frame as a plane of bits, all in one string, as an object stores them.

    Args:
        size: (H, W).
        frames: number of the lesion and of the frame, of each plane.
        pixels: the planes, the first pixel in the lowest bit; a plane need not begin with a byte.
    """

    size: tuple[int, ...]
    frames: list[tuple[int, int]]
    pixels: bytes

    @classmethod
    def of(cls, labels: Sequence[NDArray[np.integer]]) -> _PackedLesions | None:
        """Pack labels (H, W) of frames; ``None`` where that takes more than ``MAX_BYTES``."""
        frames: list[tuple[int, int]] = []
        parts, left, count = [], np.zeros(0, dtype=bool), 0
        for frame, numbers in enumerate(labels):
            for number in np.flatnonzero(np.bincount(numbers.ravel())).tolist():
                if number == 0:
                    continue
                bits = np.concatenate([left, numbers.ravel() == number])
                whole = len(bits) // 8 * 8
                parts.append(np.packbits(bits[:whole], bitorder="little").tobytes())
                frames.append((number, frame))
                left, count = bits[whole:], count + len(parts[-1])
                if count > MAX_BYTES:
                    return None
        parts.append(np.packbits(left, bitorder="little").tobytes())
        pixels = b"".join(parts)
        return cls(labels[0].shape, frames, pixels + bytes(len(pixels) % 2))


def _of_cine(
    plain: Dataset, header: Dataset, lesions: _PackedLesions, algorithm: Algorithm, creation: datetime
) -> Dataset:
    """Return one object of all frames, which highdicom refuses to make of a source without positions in the patient.

    It makes one of a single frame with all lesions, whose groups and pixels are replaced. The standard asks for a frame
    of reference only where frames do not name the image they are derived from (DICOM PS3.3 A.51), and each does.
    """
    numbers = sorted({number for number, _ in lesions.frames})
    drawn = np.zeros(lesions.size, dtype=np.uint16)
    drawn.flat[: len(numbers)] = numbers
    content = hashlib.sha256(f"{lesions.frames}".encode() + lesions.pixels).hexdigest()
    made = _segmentation(plain, header, drawn, None, algorithm, creation, content)
    segments = {number: index for index, number in enumerate(numbers, start=1)}
    (first, *_) = made.PerFrameFunctionalGroupsSequence
    made.PerFrameFunctionalGroupsSequence = [
        _frame_group(first, segments[number], frame) for number, frame in lesions.frames
    ]
    # of a single lesion highdicom says once for all frames which segment they are
    made.SharedFunctionalGroupsSequence[0].pop("SegmentIdentificationSequence", None)
    times = Dataset()
    times.DimensionIndexPointer, times.FunctionalGroupPointer = _TEMPORAL_POSITION_INDEX, _FRAME_CONTENT_SEQUENCE
    times.DimensionOrganizationUID = made.DimensionIndexSequence[0].DimensionOrganizationUID
    times.DimensionDescriptionLabel = "Temporal Position Index"
    made.DimensionIndexSequence.append(times)
    made.NumberOfFrames = len(lesions.frames)
    made.PixelData = lesions.pixels
    return made


_TEMPORAL_POSITION_INDEX, _FRAME_CONTENT_SEQUENCE = 0x00209128, 0x00209111


def _frame_group(first: Dataset, segment: int, frame: int) -> Dataset:
    """Return the groups of one plane.

    Args:
        first: those of a frame that differs from this one in nothing else.
        segment: its number.
        frame: of the source, from 0.
    """
    content, segmented, group = Dataset(), Dataset(), Dataset()
    (derivation,) = first.DerivationImageSequence
    derived = _without(derivation, "SourceImageSequence")
    image = _without(derivation.SourceImageSequence[0], "ReferencedFrameNumber")
    image.ReferencedFrameNumber = content.TemporalPositionIndex = frame + 1
    derived.SourceImageSequence = [image]
    content.DimensionIndexValues = [segment, frame + 1]
    segmented.ReferencedSegmentNumber = segment
    group.DerivationImageSequence = [derived]
    group.FrameContentSequence = [content]
    group.SegmentIdentificationSequence = [segmented]
    return group


def _without(dataset: Dataset, keyword: str) -> Dataset:
    """Return a dataset of the same elements but one: to set that would change it in the other one too."""
    other = Dataset()
    other.update(dataset)
    other.pop(keyword, None)
    return other


POSITION_KEYWORDS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
"""What an image says together of where it lies in the patient, DICOM PS3.3 C.7.6.2."""


def _has_positions(header: Dataset) -> bool:
    """Whether each frame says where it lies in the patient, and all of it: parts of that are of no use."""
    if get_image_coordinate_system(header) != CoordinateSystemNames.PATIENT:
        return False
    if "PerFrameFunctionalGroupsSequence" in header:
        return True
    return int(header.get("NumberOfFrames") or 1) == 1 and all(header.get(word) for word in POSITION_KEYWORDS)


def _single_frame(header: Dataset) -> Dataset:
    """Return the header as that of one ultrasound frame with its calibration, which highdicom does not look for."""
    plain = as_ultrasound(header)
    for keyword in ("NumberOfFrames", "FrameOfReferenceUID", *POSITION_KEYWORDS):
        plain.pop(keyword, None)
    spacing = spacing_mm(header)
    if spacing is not None:
        plain.PixelSpacing = list(spacing)
    return plain


def _segmentation(
    geometry: Dataset,
    header: Dataset,
    labels: NDArray[np.integer],
    frame: int | None,
    algorithm: Algorithm,
    creation: datetime,
    content: str = "",
) -> Dataset:
    """Return an object of one frame, or where ``frame`` is ``None`` of all; ``content`` identifies what it shows."""
    numbers = [int(number) for number in np.unique(labels) if number]
    # the standard counts the segments of an object from 1 without gaps
    segment_of = np.zeros(numbers[-1] + 1, dtype=np.uint16)
    segment_of[numbers] = np.arange(1, len(numbers) + 1)
    content = content or hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()
    parts = (str(algorithm), header.SOPInstanceUID, str(frame or 0), content)
    made = Segmentation(
        [geometry],
        segment_of[labels],
        SegmentationTypeValues.BINARY,
        [_segment(index, number, header, algorithm) for index, number in enumerate(numbers, start=1)],
        series_instance_uid=derived_uid("segmentations", str(algorithm), header.SeriesInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("segmentation", *parts),
        instance_number=(frame or 0) + 1,
        content_label="RESEARCH_LESIONS",
        content_description=ALL_FRAMES if frame is None else f"RESEARCH: lesions of frame {frame + 1}",
        series_description=f"{RESEARCH}: lesions",
        **algorithm.equipment,
    )
    # highdicom draws this one at random
    dimensions = derived_uid("dimensions", *parts)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    stamp(made, creation)
    if geometry is not header:
        _refer(made, header, frame or 0)
    return made


def frame_of(made: Dataset) -> int | None:
    """Return the number of the frame that a segmentation is of, from 0; ``None`` where it is of all."""
    return None if made.ContentDescription == ALL_FRAMES else int(made.InstanceNumber) - 1


def index_segments(segmentations: Iterable[Dataset]) -> dict[tuple[int | None, str], tuple[Dataset, int]]:
    """Return object and number of each segment, by :func:`frame_of` and tracking identifier ("Lesion 3")."""
    return {
        (frame_of(made), str(segment.TrackingID)): (made, int(segment.SegmentNumber))
        for made in segmentations
        for segment in made.SegmentSequence
    }


def lesion_planes(segmentations: Iterable[Dataset]) -> dict[int, NDArray[np.bool_]]:
    """Return where frames of the source have lesion, (H, W), by their number from 0; those without are left out.

    Args:
        segmentations: of one source, with their pixels.
    """
    planes: dict[int, NDArray[np.bool_]] = {}
    for made in segmentations:
        pixels = made.pixel_array.reshape(-1, made.Rows, made.Columns) > 0
        for group, inside in zip(made.PerFrameFunctionalGroupsSequence, pixels, strict=True):
            image = group.DerivationImageSequence[0].SourceImageSequence[0]
            named = image.get("ReferencedFrameNumber")
            frame = (frame_of(made) or 0) if named is None else int(named) - 1
            planes[frame] = planes.get(frame, False) | inside
    return planes


def has_frame_numbers(header: Dataset) -> bool:
    """Whether a reference must say which frame: a cine that calls itself a single image may not be told its frames."""
    return int(header.get("NumberOfFrames") or 1) > 1 and header.SOPClassUID != UltrasoundImageStorage


def _segment(index: int, number: int, header: Dataset, algorithm: Algorithm) -> SegmentDescription:
    identification = AlgorithmIdentificationSequence(
        algorithm.name,
        codes.DCM.ArtificialIntelligence,
        algorithm.version,
        source="bus_monai",
        parameters={"weights": algorithm.weights_hash},
    )
    kinds = SegmentAlgorithmTypeValues
    return SegmentDescription(
        segment_number=index,
        segment_label=f"Lesion {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=kinds.MANUAL if algorithm.is_manual else kinds.AUTOMATIC,
        algorithm_identification=None if algorithm.is_manual else identification,
        tracking_id=f"Lesion {number}",
        tracking_uid=tracking_uid(header, number, algorithm),
        anatomic_regions=[codes.SCT.Breast],
    )


def tracking_uid(source: Dataset, number: int, algorithm: Algorithm) -> UID:
    """Return the identifier of one lesion of an image: the same in each frame, in segmentations and the report."""
    return derived_uid("lesion", str(algorithm), source.SOPInstanceUID, str(number))


def _refer(made: Dataset, header: Dataset, frame: int) -> None:
    """Let the references to the plain frame point to the frame of the real source."""
    made.PatientOrientation = ""  # type 2C of an image without positions
    for series in made.ReferencedSeriesSequence:
        for instance in series.ReferencedInstanceSequence:
            instance.ReferencedSOPClassUID = header.SOPClassUID
    frames = [
        image
        for group in made.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for image in derivation.SourceImageSequence
    ]
    for image in frames:
        image.ReferencedSOPClassUID = header.SOPClassUID
        if has_frame_numbers(header):
            image.ReferencedFrameNumber = frame + 1
