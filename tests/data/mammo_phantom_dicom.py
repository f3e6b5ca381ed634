"""A mammogram phantom as a DICOM object."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from bus_monai.data.phantoms.mammogram import MammoPhantom


def as_dicom_mg(phantom: MammoPhantom) -> Dataset:
    """Make a Digital Mammography X-Ray Image - For Presentation of a phantom, ready for ``save_as``.

    DICOM PS3.3 A.27, a cranio-caudal view of one breast, 8 bits per pixel, uncompressed. What a phantom cannot know,
    such as date, exposure and device, is empty. The same phantom gives the same object, unique identifiers included.
    """
    size = f"{phantom.image.shape} {phantom.laterality}"
    study, series, instance = (
        generate_uid(entropy_srcs=[phantom.image.tobytes().hex(), size, level])
        for level in ("study", "series", "image")
    )
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    _add_names(ds)
    _add_acquisition(ds, phantom)
    _add_pixels(ds, phantom)
    return ds


def _add_names(ds: Dataset) -> None:
    ds.PatientName, ds.PatientID = "Phantom^Mammogram", "PHANTOM"
    ds.PatientBirthDate, ds.PatientSex = "", "F"
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyID = ""
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.Manufacturer, ds.ManufacturerModelName = "bus_monai", "mammogram phantom"
    ds.ContentDate = ds.ContentTime = ""


def _add_acquisition(ds: Dataset, phantom: MammoPhantom) -> None:
    left = phantom.laterality == "L"
    ds.ImageLaterality = phantom.laterality
    ds.PatientOrientation = ["A", "R"] if left else ["P", "L"]
    ds.BodyPartExamined = "BREAST"
    ds.AnatomicRegionSequence = Sequence([_code("76752008", "SCT", "Breast")])
    view = _code("399162004", "SCT", "cranio-caudal")
    view.ViewModifierCodeSequence = Sequence()
    ds.ViewCodeSequence = Sequence([view])
    ds.AcquisitionContextSequence = Sequence()
    ds.PositionerType, ds.OrganExposed = "MAMMOGRAPHIC", "BREAST"
    ds.BreastImplantPresent, ds.PartialView = "NO", "NO"
    ds.DetectorType = "DIRECT"
    # decimal strings have room for 16 characters
    ds.ImagerPixelSpacing = [round(phantom.spacing_mm, 6)] * 2


def _add_pixels(ds: Dataset, phantom: MammoPhantom) -> None:
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = phantom.image.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 128, 256
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    pixels = phantom.image.tobytes()
    # values have an even number of bytes
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    ds["PixelData"].VR = "OB"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
