"""A result as a DICOM segmentation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom

from bus_monai.dicom.algorithm import Algorithm
from bus_monai.dicom.segmentation import make_segmentations
from bus_monai.dicom.write import write_dicom
from bus_monai.errors import UserError
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import SegmentedFile
from bus_monai.source import source_kind


def write_object(found: SegmentedFile, image: Path, output: Path, predictor: Predictor, creation: datetime) -> None:
    """Write the lesions of the frame that shows most of them as DICOM SEG, or those of all frames as one object.

    Raises:
        UserError: the image is no DICOM file, or holds no lesion.
    """
    if source_kind(image) != "dicom":
        raise UserError(f"'{image.name}' is no DICOM file: ask for .png, .nii.gz or .json.")
    header = pydicom.dcmread(image, stop_before_pixels=True, force=True)
    algorithm = Algorithm(predictor.name, predictor.version, predictor.weights_hash)
    objects = make_segmentations(header, np.stack(found.labels).astype(np.int32), algorithm, creation=creation)
    if not objects:
        raise UserError(f"'{image.name}' shows no lesion, so there is no segmentation: ask for .png or .json.")
    write_dicom(next((made for made in objects if int(made.InstanceNumber) == found.summary + 1), objects[0]), output)
