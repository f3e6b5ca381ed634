"""Color overlays as DICOM secondary captures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from io import BytesIO

import numpy as np
from highdicom.base import SOPClass
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from bus_monai.dicom.source_header import Algorithm, as_ultrasound, derived_uid, source_header, stamp
from bus_monai.io.ours import RESEARCH

SERIES_NUMBER = 903
JPEG_QUALITY = 95
"""Of JPEG: outlines stay sharp, and a cine has a tenth of its raw size."""
DEFAULT_FRAMES_PER_SECOND = 25
"""Rate of a cine whose source does not say."""


def make_secondary_capture(
    source: Dataset, rgb: Iterable[NDArray[np.uint8]], algorithm: Algorithm, *, creation: datetime
) -> Dataset:
    """Make a secondary capture of overlays, in JPEG baseline; multi-frame true color where there are several frames.

    Args:
        source: the image, as read; its pixels are not needed.
        rgb: (H, W, 3) a frame, those of the source in their order, or a choice of them.
        algorithm: what drew.
        creation: date and time of the content; with the same one a repeated run makes the same bytes.

    Raises:
        UserError: the source lacks a valid identifier.
    """
    header = source_header(source)
    frames: list[bytes] = []
    shape: tuple[int, ...] = ()
    for frame in rgb:
        frames.append(_jpeg(frame))
        shape = frame.shape
    content = hashlib.sha256(b"".join(frames)).hexdigest()
    several = len(frames) > 1
    made = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=derived_uid("overlays", str(algorithm), header.SeriesInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("overlay", str(algorithm), header.SOPInstanceUID, content),
        sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage if several else SecondaryCaptureImageStorage,
        instance_number=1,
        modality="OT",
        transfer_syntax_uid=JPEGBaseline8Bit,
        series_description=f"{RESEARCH}: lesions drawn",
        **algorithm.equipment,
    )
    made.copy_patient_and_study_information(as_ultrasound(header))
    made.ConversionType = "DI"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.Laterality = header.get("Laterality") or ""
    made.PatientOrientation = ""
    # what is drawn names no patient; a screen that does not say may
    made.BurnedInAnnotation = "NO" if header.get("BurnedInAnnotation") == "NO" else "YES"
    made.DerivationDescription = f"Lesions drawn on the image by {algorithm.name} {algorithm.version}"
    made.ImageComments = RESEARCH
    made.SourceImageSequence = [_reference(header)]
    if several:
        made.FrameIncrementPointer = Tag("FrameTime")
        made.FrameTime = header.get("FrameTime") or 1000 / DEFAULT_FRAMES_PER_SECOND
    _add_pixels(made, frames, (len(frames), *shape))
    stamp(made, creation)
    return made


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    # DICOM PS3.5 table 8.2.1-1 knows color in baseline JPEG as YBR_FULL_422
    Image.fromarray(frame).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
    return file.getvalue()


def _reference(header: Dataset) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID = header.SOPClassUID
    image.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return image


def _add_pixels(made: Dataset, frames: list[bytes], shape: tuple[int, ...]) -> None:
    if len(frames) > 1:
        made.NumberOfFrames = len(frames)
    made.Rows, made.Columns = shape[1:3]
    made.SamplesPerPixel, made.PlanarConfiguration = 3, 0
    made.PhotometricInterpretation = "YBR_FULL_422"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.LossyImageCompression = "01"
    made.LossyImageCompressionMethod = "ISO_10918_1"
    made.LossyImageCompressionRatio = round(int(np.prod(shape)) / sum(len(frame) for frame in frames), 2)
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
