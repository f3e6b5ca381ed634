"""Measures of lesions as a structured report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from bus_monai.dicom.segmentation import has_frame_numbers, index_segments, tracking_uid
from bus_monai.dicom.source_header import Algorithm, as_ultrasound, derived_uid, source_header, stamp
from bus_monai.geometry.lesion import Lesion
from bus_monai.io.ours import RESEARCH

SERIES_NUMBER = 902
TITLE = Code("126000", "DCM", f"Imaging Measurement Report ({RESEARCH})")
"""Of the report: the code of TID 1500, by which readers know it, with a meaning for people."""
CODING_SCHEME = "99BUSMONAI"
"""Scheme of the codes below: those of DICOM know no such measures."""
DEPTH_WIDTH_RATIO = Code("depth-width-ratio", CODING_SCHEME, "Depth/width ratio")
ORIENTATION = Code("orientation", CODING_SCHEME, "Angle of long axis to skin")
CIRCULARITY = Code("circularity", CODING_SCHEME, "Circularity")
CHANCE = Code("lesion-chance", CODING_SCHEME, "Calibrated probability that it is a lesion")
MEAN_PROBABILITY = Code("mean-probability", CODING_SCHEME, "Mean probability of its pixels, not calibrated")
CALIBRATION = Code("calibration", CODING_SCHEME, "Calibration")
UNCALIBRATED = Code("uncalibrated", CODING_SCHEME, "Uncalibrated, lengths in pixels")
PIXEL_UNIT = Code("{pixels}", "UCUM", "pixels")
Group = PlanarROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations


def make_report(
    source: Dataset,
    segmentations: Sequence[Dataset],
    lesions_by_frame: Sequence[Sequence[Lesion]],
    algorithm: Algorithm,
    *,
    creation: datetime,
) -> Dataset:
    """Make a Comprehensive SR after template TID 1500 (DICOM PS3.16), one measurement group per lesion and frame.

    A group gives area, long and short axis and perimeter in mm or, where the source is not calibrated, in pixels, which
    it then says; depth/width ratio, orientation in degrees, circularity and, where known, the probability. It refers
    to the segment of the lesion and to the frame; where no segmentation holds the lesion, to the frame alone. Without
    any lesion one group says so. Title and comment say that it is research; the comment says in words what made it.

    Args:
        source: the image, as read; its pixels are not needed.
        segmentations: what ``make_segmentations`` made of the same labels, or nothing; their pixels are not needed.
        lesions_by_frame: for each frame its lesions, numbered as in the labels.
        algorithm: what found the lesions.
        creation: date and time of the content; with the same one a repeated run makes the same bytes.

    Raises:
        UserError: the source lacks a valid identifier.
    """
    header = source_header(source)
    segments = index_segments(segmentations)
    groups: list[Group] = [
        _group(header, segments, frame, lesion, algorithm)
        for frame, lesions in enumerate(lesions_by_frame)
        for lesion in lesions
    ]
    content = MeasurementReport(
        observation_context=_observer(algorithm),
        procedure_reported=codes.SCT.UltrasonographyOfBreast,
        imaging_measurements=groups or [_nothing_found(header, algorithm)],
        title=TITLE,
    )
    comment = TextContentItem(codes.DCM.Comment, comment_of(algorithm), RelationshipTypeValues.CONTAINS)
    content[0].ContentSequence.append(comment)
    held = "".join(f"{frame}{lesion}" for frame, lesions in enumerate(lesions_by_frame) for lesion in lesions)
    report = ComprehensiveSR(
        evidence=[as_ultrasound(header), *segmentations],
        content=content[0],
        series_instance_uid=derived_uid("reports", str(algorithm), header.SeriesInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("report", str(algorithm), algorithm.operating_point, header.SOPInstanceUID, held),
        instance_number=1,
        series_description=f"{RESEARCH}: measures",
        is_complete=True,
        **algorithm.equipment,
    )
    for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence:
        for instance in series.ReferencedSOPSequence:
            if instance.ReferencedSOPInstanceUID == header.SOPInstanceUID:
                instance.ReferencedSOPClassUID = header.SOPClassUID
    stamp(report, creation)
    return report


def comment_of(algorithm: Algorithm) -> str:
    """Return in words what made a report, and what its probabilities mean."""
    meaning = "the chance that it is one" if algorithm.is_calibrated else "the mean over its pixels, not calibrated"
    point = f" Operating point: {algorithm.operating_point}." if algorithm.operating_point else ""
    return (
        f"{RESEARCH}. Lesions found by {algorithm.name}, version {algorithm.version}, with weights of SHA-256 "
        f"{algorithm.weights_hash}.{point} The probability of a lesion is {meaning}."
    )


def _observer(algorithm: Algorithm) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", str(algorithm)),
        name=algorithm.name,
        manufacturer_name=algorithm.equipment["manufacturer"],
        model_name=algorithm.version,
        serial_number=algorithm.weights_hash,
    )
    return ObservationContext(ObserverContext(codes.DCM.Device, device))


def _group(
    header: Dataset,
    segments: Mapping[tuple[int | None, str], tuple[Dataset, int]],
    frame: int,
    lesion: Lesion,
    algorithm: Algorithm,
) -> Group:
    uid = tracking_uid(header, lesion.number, algorithm)
    tracking = TrackingIdentifier(uid, f"Lesion {lesion.number}")
    uncalibrated = [QualitativeEvaluation(CALIBRATION, UNCALIBRATED)] if lesion.unit == "px" else None
    shared = {
        "tracking_identifier": tracking,
        "finding_type": codes.SCT.Lesion,
        "finding_category": codes.SCT.MorphologicallyAbnormalStructure,
        "finding_sites": [FindingSite(codes.SCT.Breast)],
        "algorithm_id": _algorithm(algorithm),
        "measurements": _measurements(lesion, algorithm),
        "qualitative_evaluations": uncalibrated,
    }
    frames = [frame + 1] if has_frame_numbers(header) else None
    name = f"Lesion {lesion.number}"
    found = segments.get((frame, name)) or segments.get((None, name))
    if found is None:
        image = SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
        return MeasurementsAndQualitativeEvaluations(**shared, source_images=[image])
    made, segment = found
    reference = ReferencedSegmentationFrame(
        made.SOPClassUID,
        made.SOPInstanceUID,
        1,
        segment,
        SourceImageForSegmentation(header.SOPClassUID, header.SOPInstanceUID, frames),
    )
    # a reference gives frames or segments, never both: DICOM PS3.3 table 10-3
    del reference[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return PlanarROIMeasurementsAndQualitativeEvaluations(**shared, referenced_segment=reference)


def _measurements(lesion: Lesion, algorithm: Algorithm) -> list[Measurement]:
    length, square = (
        (codes.UCUM.Millimeter, codes.UCUM.SquareMillimeter) if lesion.unit == "mm" else (PIXEL_UNIT, PIXEL_UNIT)
    )
    values = [
        (codes.SCT.Area, lesion.area, square),
        (codes.SCT.LongAxis, lesion.long_axis, length),
        (codes.SCT.ShortAxis, lesion.short_axis, length),
        (codes.SCT.Perimeter, lesion.perimeter, length),
        (DEPTH_WIDTH_RATIO, lesion.depth_width_ratio, codes.UCUM.Ratio),
        (ORIENTATION, lesion.orientation_deg, codes.UCUM.Degree),
        (CIRCULARITY, lesion.circularity, codes.UCUM.NoUnits),
    ]
    if lesion.probability is not None:
        name = CHANCE if algorithm.is_calibrated else MEAN_PROBABILITY
        values.append((name, lesion.probability, codes.UCUM.NoUnits))
    return [Measurement(name, round(value, 4), unit) for name, value, unit in values]


def _algorithm(algorithm: Algorithm) -> AlgorithmIdentification:
    return AlgorithmIdentification(algorithm.name, algorithm.version, [f"weights={algorithm.weights_hash}"])


def _nothing_found(header: Dataset, algorithm: Algorithm) -> Group:
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(derived_uid("image", str(algorithm), header.SOPInstanceUID), "Image"),
        algorithm_id=_algorithm(algorithm),
        finding_sites=[FindingSite(codes.SCT.Breast)],
        qualitative_evaluations=[QualitativeEvaluation(codes.SCT.Lesion, codes.SCT.Absent)],
        source_images=[SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID)],
    )
