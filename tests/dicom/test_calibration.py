"""Images of tissue and their spacing, as a DICOM header names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bus_monai.dicom.calibration import calibration, tissue_boxes
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import measure_lesions
from tests.dicom.pixel_files import COLUMNS, ROWS

TISSUE, M_MODE, SPECTRUM, COLOR = (1, 1), (2, 1), (3, 3), (1, 2)


def header(*regions: tuple[tuple[int, int], tuple[int, int, int, int]]) -> Dataset:
    """Return a header of 100 x 200 pixels with regions: format and type, and first and last column and row."""
    made = Dataset()
    made.Rows, made.Columns = 100, 200
    made.SequenceOfUltrasoundRegions = []
    for (format, kind), (left, top, right, bottom) in regions:
        region = Dataset()
        region.RegionSpatialFormat, region.RegionDataType = format, kind
        region.RegionLocationMinX0, region.RegionLocationMinY0 = left, top
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = right, bottom
        made.SequenceOfUltrasoundRegions.append(region)
    return made


WHOLE = (0, 0, 199, 99)


@pytest.mark.parametrize(
    ("regions", "boxes"),
    [
        ([], ()),
        ([(TISSUE, (10, 20, 89, 79))], ((20, 10, 80, 90),)),
        ([(TISSUE, (100, 20, 199, 79)), (TISSUE, (0, 20, 99, 79))], ((20, 0, 80, 100), (20, 100, 80, 200))),
        # twice the same, a window of color, and what is no image of tissue
        ([(TISSUE, WHOLE), (TISSUE, WHOLE), (COLOR, (20, 20, 80, 80)), (M_MODE, (0, 80, 99, 99))], ((0, 0, 100, 200),)),
        ([(SPECTRUM, WHOLE)], ()),
        # the first outside where the last inside belongs
        ([(TISSUE, (0, 0, 200, 100))], ((0, 0, 100, 200),)),
        # of another screen
        ([(TISSUE, (0, 0, 250, 99))], ()),
        ([(TISSUE, (300, 0, 400, 99))], ()),
    ],
)
def test_boxes(regions: list[tuple[tuple[int, int], tuple[int, int, int, int]]], boxes: tuple[object, ...]) -> None:
    assert tuple(box.sides for box in tissue_boxes(header(*regions))) == boxes


def test_a_broken_region_is_none() -> None:
    broken = header((TISSUE, WHOLE))
    del broken.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1
    assert tissue_boxes(broken) == ()
    broken.SequenceOfUltrasoundRegions = None
    assert tissue_boxes(broken) == ()


def test_real_files() -> None:
    # from a screen of twice the size
    small = pydicom.dcmread(str(get_testdata_file("examples_ybr_color.dcm", download=False)), stop_before_pixels=True)
    assert tissue_boxes(small) == ()
    echo = pydicom.dcmread(str(get_testdata_file("JPGLosslessP14SV1_1s_1f_8b.dcm", download=False)))
    assert tissue_boxes(echo) == (Box(38, 14, 759, 1011),)


def calibrated(left: int, top: int, right: int, bottom: int, delta: float) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 1, 3, 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    return item


SAME_REGIONS = [calibrated(0, 0, 9, 9, 0.01), calibrated(9, 0, 19, 9, 0.01000001)]


def test_a_lesion_is_measured_by_the_calibration_of_its_calibrated() -> None:
    header = Dataset()
    header.SequenceOfUltrasoundRegions = [calibrated(0, 0, 31, 47, 0.01), calibrated(32, 0, 63, 47, 0.02)]
    size = calibration(header)
    labels = np.zeros((ROWS, COLUMNS), np.int32)
    labels[10:20, 4:24] = 1
    labels[10:20, 36:56] = 2
    labels[30:40, 20:50] = 3
    found = measure_lesions(labels, spacing_mm=size.spacing_mm, regions=size.regions)
    assert [(lesion.unit, lesion.area) for lesion in found] == [
        ("mm", pytest.approx(2.0)), ("mm", pytest.approx(8.0)), ("px", 300.0),
    ]  # fmt: skip
    assert size.notes


@pytest.mark.parametrize(
    ("words", "spacing", "noted"),
    [
        ({"PixelSpacing": ["0.1", "0.2"]}, (0.1, 0.2), False),
        ({"PixelSpacing": "0.1"}, None, True),
        ({"PixelSpacing": ["0", "0.2"]}, None, True),
        ({"PixelSpacing": ["-0.1", "0.2"]}, None, True),
        ({"PixelAspectRatio": ["2", "1"]}, None, True),
        ({"PixelAspectRatio": ["1", "1"]}, None, False),
        (
            {"SequenceOfUltrasoundRegions": SAME_REGIONS},
            (0.1, 0.1),
            False,
        ),
        (
            {"SequenceOfUltrasoundRegions": [calibrated(0, 0, 9, 9, 0.0)], "PixelSpacing": ["0.3", "0.3"]},
            (0.3, 0.3),
            False,
        ),
        ({"SequenceOfUltrasoundRegions": [calibrated(0, 0, 9, 9, 1e-9)]}, None, True),
        (
            {"SequenceOfUltrasoundRegions": [calibrated(0, 0, 9, 9, 9e9)], "PixelSpacing": ["0.3", "0.3"]},
            (0.3, 0.3),
            False,
        ),
        ({"PixelSpacing": ["300", "300"]}, None, True),
    ],
)
def test_geometry_is_obeyed_or_said_to_be_unknown(words: dict[str, Any], spacing: Any, noted: bool) -> None:
    header = Dataset()
    for key, value in words.items():
        setattr(header, key, value)
    found = calibration(header)
    assert found.spacing_mm == (None if spacing is None else pytest.approx(spacing, rel=1e-3))
    assert bool(found.notes) == noted


def test_functional_groups_say_the_spacing_of_a_frame() -> None:
    header, shared, own, one, other = (Dataset() for _ in range(5))
    one.PixelSpacing, other.PixelSpacing = ["0.1", "0.1"], ["0.2", "0.3"]
    shared.PixelMeasuresSequence, own.PixelMeasuresSequence = [one], [other]
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], [Dataset(), own]
    assert [calibration(header, frame).spacing_mm for frame in (0, 1)] == [(0.1, 0.1), (0.2, 0.3)]
