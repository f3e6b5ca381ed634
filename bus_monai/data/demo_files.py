"""DICOM files to try inference on: breast phantoms on a scanner's screen, and two real scans that show no breast."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from bus_monai.data.phantoms.screen import Screen, ScreenLayout, draw_screen
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.dicom.source_header import derived_uid, write_dicom
from bus_monai.geometry.box import Box
from bus_monai.io.gray import LUMA_WEIGHTS

PHANTOM_NAMES = ("breast_benign.dcm", "breast_normal.dcm", "breast_dual_color.dcm", "breast_cine.dcm")
"""A lesion in gray, none, a color screen of two images, and a cine; all calibrated."""
OTHER_NAMES = ("US1_UNCR.dcm", "examples_ybr_color.dcm")
"""Real ultrasound from the test data of pydicom, an image and a cine of 30 frames. Neither is a breast scan."""
DEPTH_CM = 4.0
"""Of each phantom's image."""
SCREEN_SIZE = (600, 800)
PHANTOM_SIZE = (360, 460)
CINE_FRAMES, CINE_STEP_PX = 12, 6
"""Frames of the cine, and how far the probe moves from one to the next."""
CENTIMETERS_CODE = 3
"""Code of physical units, DICOM PS3.3 C.8.5.5.1.15."""


def write_demo_files(folder: Path) -> list[Path]:
    """Write the files to ``folder``, the phantoms first, and return their paths; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    made = (
        _gray(_screen([_image(0)], "workstation", 1), "Benign lesion"),
        _gray(_screen([_image(29)], "panel", 2), "Normal tissue"),
        _dual(),
        _cine(),
    )
    for name, dataset in zip(PHANTOM_NAMES, made, strict=True):
        write_dicom(dataset, folder / name)
    copied = [shutil.copy(str(get_testdata_file(name, download=False)), folder) for name in OTHER_NAMES]
    return [*(folder / name for name in PHANTOM_NAMES), *map(Path, copied)]


def _gray(screen: Screen, description: str) -> Dataset:
    gray = np.rint(screen.image @ LUMA_WEIGHTS).astype(np.uint8)
    made = _ultrasound(screen, description)
    made.PhotometricInterpretation, made.SamplesPerPixel = "MONOCHROME2", 1
    made.PixelData = gray.tobytes()
    return made


def _dual() -> Dataset:
    screen = _screen([_image(28), _image(7)], "dual", 3)
    made = _ultrasound(screen, "Two lesions")
    made.PhotometricInterpretation, made.SamplesPerPixel, made.PlanarConfiguration = "RGB", 3, 0
    made.PixelData = screen.image.tobytes()
    return made


def _cine() -> Dataset:
    """Move the probe along a wide phantom."""
    height, width = PHANTOM_SIZE
    wide = _image(31, (height, width + CINE_FRAMES * CINE_STEP_PX))
    windows = (wide[:, CINE_STEP_PX * frame :][:, :width] for frame in range(CINE_FRAMES))
    screens = [_screen([window], "header", 4) for window in windows]
    made = _ultrasound(screens[0], "Cine")
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    made.PhotometricInterpretation, made.SamplesPerPixel, made.PlanarConfiguration = "YBR_FULL_422", 3, 0
    made.NumberOfFrames, made.FrameTime, made.FrameIncrementPointer = CINE_FRAMES, 50, 0x00181063
    made.LossyImageCompression, made.LossyImageCompressionMethod = "01", "ISO_10918_1"
    frames = [_jpeg(screen.image) for screen in screens]
    made.LossyImageCompressionRatio = round(CINE_FRAMES * screens[0].image.nbytes / sum(map(len, frames)), 1)
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def _image(seed: int, size: tuple[int, int] = PHANTOM_SIZE) -> NDArray[np.uint8]:
    return make_phantom(seed, size).image


def _screen(images: Sequence[NDArray[np.uint8]], layout: ScreenLayout, seed: int) -> Screen:
    # of the same seed, so that nothing but the image changes in a cine
    return draw_screen(images, layout, np.random.default_rng(seed), size=SCREEN_SIZE)


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=92, subsampling="4:2:2")
    return file.getvalue()


def _ultrasound(screen: Screen, description: str) -> Dataset:
    """Return an ultrasound object of one screen, complete but for its pixels."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = derived_uid("demo", "image", description)
    made.StudyInstanceUID, made.SeriesInstanceUID = derived_uid("demo", "study"), derived_uid("demo", description)
    made.StudyDate, made.StudyTime, made.AccessionNumber = "20240101", "120000", ""
    made.Modality, made.Manufacturer, made.ReferringPhysicianName = "US", "bus_monai phantoms", ""
    made.StudyDescription, made.SeriesDescription = "Breast ultrasound, generated", description
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "PHANTOM^DEMO", "PHANTOM", "", "O"
    made.BodyPartExamined, made.Laterality = "BREAST", "R"
    made.StudyID, made.SeriesNumber, made.InstanceNumber, made.PatientOrientation = "1", 1, 1, ""
    made.SequenceOfUltrasoundRegions = [_region(box) for box in screen.boxes]
    made.Rows, made.Columns = screen.shown.shape
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.BurnedInAnnotation, made.LossyImageCompression = "YES", "00"
    return made


def _region(box: Box) -> Dataset:
    made = Dataset()
    made.RegionSpatialFormat = made.RegionDataType = 1
    made.RegionFlags = 0
    made.RegionLocationMinX0, made.RegionLocationMinY0 = box.left, box.top
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = box.right - 1, box.bottom - 1
    made.PhysicalUnitsXDirection = made.PhysicalUnitsYDirection = CENTIMETERS_CODE
    made.PhysicalDeltaX = made.PhysicalDeltaY = DEPTH_CM / box.height
    return made


if __name__ == "__main__":
    write_demo_files(Path(sys.argv[1]))
