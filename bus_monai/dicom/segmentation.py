"""Lesions as DICOM segmentations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
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

SERIES_NUMBER = 901
"""Above those that scanners give."""
ALL_FRAMES = "Lesions of all frames"


def make_segmentations(
    source: Dataset, labels: Sequence[NDArray[np.integer]], algorithm: Algorithm, *, creation: datetime
) -> list[Dataset]:
    """Make segmentations (BINARY) with a segment a lesion, all that :func:`iterate_segmentations` yields."""
    return list(iterate_segmentations(source, labels, algorithm, creation=creation))


def iterate_segmentations(
    source: Dataset, labels: Sequence[NDArray[np.integer]], algorithm: Algorithm, *, creation: datetime
) -> Iterator[Dataset]:
    """Yield segmentations (BINARY) with a segment a lesion, made one at a time.

    An object is made for each frame that holds a lesion: highdicom refuses more than one frame of a source without
    positions in a frame of reference, and no ultrasound has them. A source with them, such as Enhanced MR, gives one
    object of all frames.

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
            yield _segmentation(header, header, stacked, 0, algorithm, creation)
        return
    plain = _single_frame(header)
    for frame, numbers in enumerate(labels):
        if numbers.any():
            yield _segmentation(plain, header, numbers, frame, algorithm, creation)


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
    frame: int,
    algorithm: Algorithm,
    creation: datetime,
) -> Dataset:
    numbers = [int(number) for number in np.unique(labels) if number]
    # the standard counts the segments of an object from 1 without gaps
    segment_of = np.zeros(numbers[-1] + 1, dtype=np.uint16)
    segment_of[numbers] = np.arange(1, len(numbers) + 1)
    content = hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()
    parts = (str(algorithm), header.SOPInstanceUID, str(frame), content)
    made = Segmentation(
        [geometry],
        segment_of[labels],
        SegmentationTypeValues.BINARY,
        [_segment(index, number, header, algorithm) for index, number in enumerate(numbers, start=1)],
        series_instance_uid=derived_uid("segmentations", str(algorithm), header.SeriesInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("segmentation", *parts),
        instance_number=frame + 1,
        content_label="LESIONS",
        content_description=ALL_FRAMES if labels.ndim == 3 else f"Lesions of frame {frame + 1}",
        series_description="Lesions",
        **algorithm.equipment,
    )
    # highdicom draws this one at random
    dimensions = derived_uid("dimensions", *parts)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    stamp(made, creation)
    if geometry is not header:
        _refer(made, header, frame)
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


def has_frame_numbers(header: Dataset) -> bool:
    """Whether a reference must say which frame: a cine that calls itself a single image may not be told its frames."""
    return int(header.get("NumberOfFrames") or 1) > 1 and header.SOPClassUID != UltrasoundImageStorage


def _segment(index: int, number: int, header: Dataset, algorithm: Algorithm) -> SegmentDescription:
    return SegmentDescription(
        segment_number=index,
        segment_label=f"Lesion {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            algorithm.name,
            codes.DCM.ArtificialIntelligence,
            algorithm.version,
            source="bus_monai",
            parameters={"weights": algorithm.weights_hash},
        ),
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
