"""NIfTI files of one image: values, units and orientation."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Box
from bus_monai.io.budget import Budget
from bus_monai.io.gray import to_unit_range, windowed
from bus_monai.io.image import SourceImage, is_pixel_size
from bus_monai.io.opened import CHUNK_BYTES, OpenedSource, open_regular, open_source


@dataclass(frozen=True)
class StoredOrder:
    """How the rows and columns of a picture, as a viewer shows it, are stored.

    Args:
        rows_first: whether the first stored axis is the row.
        rows_back: whether the stored rows run from the bottom up.
        columns_back: whether the stored columns run from right to left.
    """

    rows_first: bool = False
    rows_back: bool = False
    columns_back: bool = False

    def to_picture(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return stored values as picture, rows first."""
        picture = stored if self.rows_first else stored.T
        return picture[:: -1 if self.rows_back else 1, :: -1 if self.columns_back else 1]

    def to_stored(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Return a picture (H, W), rows first, in the order of the stored values."""
        turned = picture[:: -1 if self.rows_back else 1, :: -1 if self.columns_back else 1]
        return turned if self.rows_first else turned.T

    def box_to_picture(self, stored: Box, size: tuple[int, int]) -> Box:
        """Return where a box lies in a picture of ``size`` (height, width).

        Args:
            stored: with the first stored axis as columns and the second as rows.
            size: of the picture.

        Example:
            >>> StoredOrder(rows_back=True, columns_back=True).box_to_picture(Box(5, 3, 6, 4), (30, 40))
            Box(top=24, left=36, bottom=25, right=37)
        """
        height, width = size
        top, left, bottom, right = stored.top, stored.left, stored.bottom, stored.right
        if self.rows_first:
            top, left, bottom, right = left, top, right, bottom
        if self.rows_back:
            top, bottom = height - bottom, height - top
        if self.columns_back:
            left, right = width - right, width - left
        return Box(top, left, bottom, right)


def stored_order(header: Any) -> StoredOrder:
    """Tell the order from the affine: columns run to the left of the patient, rows to the back, as ITK shows them.

    An affine that only scales says nothing of the orientation, nor does one outside of that plane, and columns are
    then first: that is how pictures are written that know no patient.
    """
    if is_unoriented(header):
        return StoredOrder()
    affine = np.asarray(header.get_best_affine(), np.float64)
    inplane = affine[:2, :2]
    if not np.isfinite(affine).all() or not np.any(inplane):
        return StoredOrder()
    only_scales = not affine[:3, 3].any() and (np.diag(inplane) > 0).all() and not inplane[0, 1] and not inplane[1, 0]
    outside = np.abs(affine[2, :2]) > np.abs(inplane).max(axis=0)
    if only_scales or outside.any():
        return StoredOrder()
    rows_first = bool(abs(inplane[1, 0]) * abs(inplane[0, 1]) > abs(inplane[0, 0]) * abs(inplane[1, 1]))
    row, column = (0, 1) if rows_first else (1, 0)
    return StoredOrder(rows_first, bool(inplane[1, row] > 0), bool(inplane[0, column] > 0))


def is_unoriented(header: Any) -> bool:
    """Tell whether a header has neither form of an affine."""
    return int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0


def read_nifti(source: OpenedSource) -> SourceImage:
    """Read an opened NIfTI file of one image, with the spacing and the orientation that its header gives.

    Raises:
        UserError: it is broken, too large, or holds more than one image.
    """
    path = source.path
    with nifti_values(source) as (header, proxy):
        shape = proxy.shape
        if len(shape) < 2 or any(n != 1 for n in shape[2:]):
            raise UserError(f"'{path}' has the shape {shape}: give a NIfTI file of one two-dimensional image.")
        Budget.current().check_frame(path, shape[1], shape[0])
        order = stored_order(header)
        gray = order.to_picture(_gray(proxy, header).reshape(shape[:2]))
    spacing, note = _spacing(header, order)
    return SourceImage(np.ascontiguousarray(gray), spacing, notes=(note,) if note else ())


@contextmanager
def nifti_values(source: OpenedSource) -> Iterator[tuple[Any, Any]]:
    """Yield the header of an opened NIfTI file and its values, of which those are read that are asked for by index.

    Raises:
        UserError: it is broken, or holds values that are no gray.
    """
    from nibabel.arrayproxy import ArrayProxy

    with _nifti_content(source) as (header, content):
        stored = header.get_data_dtype()
        if stored.kind not in "biuf" or stored.itemsize > 8:
            raise UserError(f"'{source.path}' holds {stored} values: give a NIfTI file of gray values.")
        yield header, ArrayProxy(content, header, mmap=False)
        content.read(CHUNK_BYTES)  # behind the last value what was packed has its checksum


def _gray(proxy: Any, header: Any) -> NDArray[np.float32]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if np.isfinite([low, high]).all() and low < high:
        shown = windowed(np.asarray(proxy), (low + high) / 2, high - low, function="LINEAR_EXACT")
        if shown is not None:
            return shown
    if header.get_data_dtype().kind == "f":
        return to_unit_range(np.asarray(proxy))
    # whole numbers are a picture as stored: that they are scaled to some other quantity makes it no darker
    gray = to_unit_range(np.asarray(proxy.get_unscaled()))
    return 1 - gray if proxy.slope < 0 else gray


MILLIMETERS = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
"""Of a unit of length, by its name in nibabel."""


def _spacing(header: Any, order: StoredOrder) -> tuple[tuple[float, float] | None, str]:
    first, second = (abs(float(zoom)) for zoom in header.get_zooms()[:2])
    rows, columns = (first, second) if order.rows_first else (second, first)
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    if not (np.isfinite([rows, columns]).all() and rows > 0 and columns > 0):
        return None, "the pixels have no size: lengths are in pixels"
    if unit not in MILLIMETERS and rows == columns == 1:
        return None, ""
    if int(header["sform_code"]) > 0:
        sides = np.sort(np.linalg.norm(np.asarray(header.get_sform(), np.float64)[:3, :2], axis=0))
        if not np.allclose(sides, sorted((rows, columns)), rtol=0.01):
            return None, "the affine and the size of the pixels differ: lengths are in pixels"
    scale = MILLIMETERS.get(unit, 1.0)
    if not is_pixel_size(rows * scale, columns * scale):
        return None, f"a pixel of {rows * scale:g} x {columns * scale:g} mm is none: lengths are in pixels"
    return (rows * scale, columns * scale), ""


def nifti_pixels(source: OpenedSource) -> int:
    """Return how many values an opened NIfTI file has by its header.

    Raises:
        UserError: it is broken.
    """
    with _nifti_content(source) as (header, _):
        return int(np.prod(header.get_data_shape(), dtype=np.int64))


def nifti_header(path: Path) -> Any:
    """Return the header of a NIfTI file, without its extensions.

    Raises:
        UserError: it is missing or broken.
    """
    with open_source(path) as source, _nifti_content(source) as (header, _):
        return header


LONGEST_HEADER = 540
"""Bytes of NIfTI-2; NIfTI-1 has 348."""
LONGEST_EXTENSIONS = 1 << 24
"""Bytes before the values, which are passed over: an extension declares its own size, and nibabel reads it."""


@contextmanager
def _nifti_content(source: OpenedSource) -> Iterator[tuple[Any, IO[bytes]]]:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    errors = (EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError)
    with reading(source.path, "NIfTI", errors=errors):
        source.file.seek(0)
        packed = source.file.read(2) == b"\x1f\x8b"
        source.file.seek(0)
        content = cast("IO[bytes]", gzip.GzipFile(fileobj=source.file) if packed else source.file)
        head = content.read(LONGEST_HEADER)
        apart = head[344:348] == b"ni1\0"
        kind = Nifti2Header if head[4:8] == b"n+2\0" else Nifti1PairHeader if apart else Nifti1Header
        header = kind(head[: kind.sizeof_hdr])
        offset = header.get_data_offset()
        if not (0 if apart else kind.sizeof_hdr) <= offset <= LONGEST_EXTENSIONS:
            raise ValueError(f"its values begin at byte {offset:,}")
        if not apart:
            yield header, content
            return
        with open_regular(source.path.with_suffix(".img")) as values:
            yield header, values
