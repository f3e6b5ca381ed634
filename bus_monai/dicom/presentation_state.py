"""Lesions drawn over the image by the viewer: softcopy presentation states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import numpy as np
from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    AnnotationUnitsValues,
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextJustificationValues,
    TextObject,
)
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundMultiFrameImageStorage

from bus_monai.dicom.read import spacing_mm
from bus_monai.dicom.segmentation import has_frame_numbers, tracking_uid
from bus_monai.dicom.source_header import Algorithm, as_ultrasound, derived_uid, source_header, stamp
from bus_monai.errors import UserError
from bus_monai.geometry.contour import outer_contour, straightened
from bus_monai.geometry.lesion import CONTOUR_TOLERANCE_PX, Lesion
from bus_monai.io.ours import RESEARCH

SERIES_NUMBER = 904
LAYER = "LESIONS"
TEXT_SHARE = 20
"""Height of a box of words: this part of the image's."""
STRIP = (0.01, 0.93, 0.6, 0.99)
"""Left, top, right and bottom of the words about what made it, as parts of the displayed image."""


def make_presentation_state(
    source: Dataset,
    labels: Iterable[NDArray[np.integer]],
    lesions_by_frame: Sequence[Sequence[Lesion]],
    algorithm: Algorithm,
    *,
    creation: datetime,
) -> Dataset:
    """Make a presentation state with the contour, number and axes of each lesion, and words that it is research.

    It is a Grayscale Softcopy Presentation State, of a color image a Color one. Viewers that draw no segmentation on
    ultrasound draw it over the image itself, and can hide it.

    Args:
        source: the image, as read; its pixels are not needed.
        labels: (H, W) a frame, 0 outside.
        lesions_by_frame: for each frame its lesions, numbered as in the labels.
        algorithm: what found the lesions.
        creation: date and time of the content; with the same one a repeated run makes the same bytes.

    Raises:
        UserError: the source lacks a valid identifier, or has frames that nothing can refer to.
    """
    header = source_header(source)
    if len(lesions_by_frame) > 1 and not has_frame_numbers(header):
        raise UserError("It has several frames and the class of a single image, so that contours would lie on all.")
    known = as_ultrasound(header)
    if has_frame_numbers(header):
        known.SOPClassUID = UltrasoundMultiFrameImageStorage
    layer = GraphicLayer(LAYER, 1, f"{RESEARCH}: lesions by {algorithm.name}"[:64])
    annotations = [_strip(known, layer, algorithm, any(lesions_by_frame))]
    digest = hashlib.sha256()
    for frame, (numbers, lesions) in enumerate(zip(labels, lesions_by_frame, strict=True)):
        if lesions:
            digest.update(f"{frame} {lesions}".encode() + numbers.astype("<i4").tobytes())
            annotations.append(_annotation(known, layer, frame, numbers, lesions, algorithm, has_frame_numbers(header)))
    is_color = header.get("SamplesPerPixel") == 3 or header.get("PhotometricInterpretation") == "PALETTE COLOR"
    made = (_color if is_color else _grayscale)(
        known,
        series_instance_uid=derived_uid("presentation states", str(algorithm), header.SeriesInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("presentation state", str(algorithm), header.SOPInstanceUID, digest.hexdigest()),
        instance_number=1,
        content_label="RESEARCH_LESIONS",
        content_description=f"RESEARCH: lesions by {algorithm.name}"[:64],
        series_description=f"{RESEARCH}: contours",
        graphic_annotations=annotations,
        graphic_layers=[layer],
        **algorithm.equipment,
    )
    for element in made.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = header.SOPClassUID
    made.Laterality = header.get("Laterality") or ""
    _keep_shape(made, header)
    stamp(made, creation)
    made.PresentationCreationDate, made.PresentationCreationTime = made.ContentDate, made.ContentTime
    del made.ContentDate, made.ContentTime  # of images and reports
    return made


def _grayscale(header: Dataset, **content: Any) -> Dataset:
    shape = "INVERSE" if header.get("PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"
    return GrayscaleSoftcopyPresentationState(
        [header], presentation_lut_transformation=PresentationLUTTransformation(shape), **content
    )


def _color(header: Dataset, **content: Any) -> Dataset:
    three = deepcopy(header)
    three.SamplesPerPixel = 3  # of colors by a palette, too
    return ColorSoftcopyPresentationState([three], icc_profile=header.get("ICCProfile") or _srgb(), **content)


def _srgb() -> bytes:
    """Return sRGB as the profile of an input device, which DICOM PS3.3 C.11.15 asks for, without a date."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[12:16], profile[24:36] = b"scnr", bytes(12)
    return bytes(profile)


def _strip(header: Dataset, layer: GraphicLayer, algorithm: Algorithm, found: bool) -> GraphicAnnotation:
    words = f"{RESEARCH}\r\n{algorithm.name} {algorithm.version}" + ("" if found else ": no lesion found")
    text = TextObject(
        words,
        AnnotationUnitsValues.DISPLAY,
        bounding_box=STRIP,
        text_justification=TextJustificationValues.LEFT,
    )
    return GraphicAnnotation([header], layer, text_objects=[text])


def _annotation(
    header: Dataset,
    layer: GraphicLayer,
    frame: int,
    labels: NDArray[np.integer],
    lesions: Sequence[Lesion],
    algorithm: Algorithm,
    is_cine: bool,
) -> GraphicAnnotation:
    outlines, words = [], []
    for lesion in lesions:
        named = {
            "tracking_id": f"Lesion {lesion.number}",
            "tracking_uid": tracking_uid(header, lesion.number, algorithm),
        }
        inside = labels[lesion.box.slices] == lesion.number
        rows = straightened(outer_contour(inside), CONTOUR_TOLERANCE_PX)
        # counted from the corner of the first pixel (DICOM PS3.3 C.10.5.1.2), there from the middle of one before it
        points = rows[:, ::-1] + (lesion.box.left - 0.5, lesion.box.top - 0.5)
        outlines.append(GraphicObject(GraphicTypeValues.POLYLINE, points, AnnotationUnitsValues.PIXEL, **named))
        box = _beside(lesion, labels.shape)
        text = f"{lesion.number}: {lesion.long_axis:.1f} x {lesion.short_axis:.1f} {lesion.unit}"
        words.append(
            TextObject(
                text,
                AnnotationUnitsValues.PIXEL,
                bounding_box=box,
                text_justification=TextJustificationValues.LEFT,
                **named,
            )
        )
    numbers = [frame + 1] if is_cine else None
    return GraphicAnnotation(
        [header], layer, referenced_frame_number=numbers, graphic_objects=outlines, text_objects=words
    )


def _beside(lesion: Lesion, shape: Sequence[int]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the box of a lesion's words, above it where there is room, else below."""
    height, width = shape
    line = height / TEXT_SHARE
    top = lesion.box.top - line if lesion.box.top >= line else min(lesion.box.bottom, height - line)
    left = min(lesion.box.left, width * 2 / 3)
    return (left, top, left + width / 3, top + line)


def _keep_shape(made: Dataset, header: Dataset) -> None:
    """Let pixels have the size, or at least the shape, that the image gives them."""
    (area,) = made.DisplayedAreaSelectionSequence
    spacing = spacing_mm(header)
    if spacing is not None:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = [round(side, 6) for side in spacing]
    elif header.get("PixelAspectRatio"):
        area.PresentationPixelAspectRatio = header.PixelAspectRatio
