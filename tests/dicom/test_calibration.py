"""Images of tissue as a DICOM header names them."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from bus_monai.dicom.calibration import tissue_boxes
from bus_monai.geometry.box import Box

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
