"""Generated breast-ultrasound files, one transfer syntax after the other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)
from tqdm import tqdm

from bus_monai.data.phantoms.ultrasound import make_phantom

SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG baseline": JPEGBaseline8Bit,
    "JPEG 2000": JPEG2000Lossless,
}
NAMES = {uid: name for name, uid in SYNTAXES.items()} | {JPEG2000: "JPEG 2000"}
DISTINCT = 4
"""Phantoms that the files show, again and again: to make one takes longer than to segment it."""
QUALITY = 90


def write_files(folder: Path, count: int, size: tuple[int, int], seed: int = 0) -> list[Path]:
    """Write ``count`` single-frame colour ultrasound objects of height and width ``size`` and return their paths."""
    folder.mkdir(parents=True)
    grey = [make_phantom(seed + i, size).image for i in range(min(count, DISTINCT))]
    pictures = [np.stack([image] * 3, axis=-1) for image in grey]
    paths = []
    for number in tqdm(range(count), desc="writing files", leave=False):
        name = list(SYNTAXES)[number % len(SYNTAXES)]
        paths.append(folder / f"{number:05d}.dcm")
        made = as_ultrasound(pictures[number // len(SYNTAXES) % len(pictures)], name, number)
        made.save_as(paths[-1], enforce_file_format=True)
    return paths


def as_ultrasound(rgb: NDArray[np.uint8], syntax: str, number: int = 0) -> Dataset:
    """Make an Ultrasound Image (DICOM PS3.3 A.6) of (H, W, 3) in a transfer syntax of ``SYNTAXES``, calibrated."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UltrasoundImageStorage
    names = (generate_uid(entropy_srcs=["scale", level, str(number)]) for level in ("study", "series", "image"))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = names
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Breast", "PHANTOM", "", "F"
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyID = ""
    ds.Modality, ds.Laterality, ds.SeriesNumber, ds.InstanceNumber = "US", "L", 1, number + 1
    ds.Manufacturer, ds.ImageType, ds.PatientOrientation = "bus_monai", ["ORIGINAL", "PRIMARY"], ""
    ds.SequenceOfUltrasoundRegions = [_region(rgb.shape[0], rgb.shape[1])]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = *rgb.shape[:2], 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = rgb.tobytes()
    if syntax == "JPEG baseline":
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:2")
        ds.PixelData = encapsulate([buffer.getvalue()])
        ds["PixelData"].is_undefined_length = True
        ds.PhotometricInterpretation, ds.LossyImageCompression = "YBR_FULL_422", "01"
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    elif syntax != "uncompressed":
        if syntax == "JPEG 2000":
            ds.PhotometricInterpretation = "YBR_RCT"  # what the encoder turns RGB into
        ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
    return ds


def syntax_name(path: Path) -> str:
    """Return what the transfer syntax of a file is called here, its kind (``PNG``) where it is no DICOM."""
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
    except pydicom.errors.InvalidDicomError:
        return path.suffix.lstrip(".").upper()
    uid = UID(meta.TransferSyntaxUID)
    return NAMES.get(uid, uid.name)


def _region(height: int, width: int) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = width - 1, height - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 4.0 / height  # 4 cm deep
    return region
