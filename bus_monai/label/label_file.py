"""Labels of an image as files: contours and masks, PNG, and NIfTI for what has a geometry or frames."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours, grid_points_in_poly
from skimage.segmentation import watershed

from bus_monai.errors import UserError, reading
from bus_monai.geometry.lesion import label_components
from bus_monai.io.atomic import atomic_file
from bus_monai.io.masks import source_affine, stored_mask, write_nifti_mask
from bus_monai.io.nifti import nifti_values, stored_order
from bus_monai.io.opened import OpenedSource, open_source, source_kind
from bus_monai.sources.read import read_source

OUTLINE_TOLERANCE_PX = 0.3
"""Pixels by which an outline may be straightened. The middle of a pixel is at least sqrt(2) / 4 away from it, so that
filling the polygons gives the labels back."""


class Contour(TypedDict):
    """A closed polygon: number of the lesion, frame from 0, and points [column, row], 0 in the middle of a pixel."""

    label: int
    frame: int
    points: list[list[float]]


def label_contours(labels: Sequence[NDArray[np.integer]], *, tolerance: float = OUTLINE_TOLERANCE_PX) -> list[Contour]:
    """Return the outlines of lesions and of their holes, one or more a lesion and frame.

    Args:
        labels: (H, W) a frame, the number of the lesion, 0 outside.
        tolerance: pixels by which an outline may be straightened, where a polygon is left of it.
    """
    contours: list[Contour] = []
    for frame, values in enumerate(labels):
        for number in (int(n) for n in np.unique(values) if n):
            for line in find_contours(np.pad(values == number, 1).astype(np.float64), 0.5, fully_connected="high"):
                corners = approximate_polygon(line, tolerance)
                if len(corners) < 4:
                    corners = approximate_polygon(line, OUTLINE_TOLERANCE_PX)
                points = [[round(float(column), 2), round(float(row), 2)] for row, column in corners[:-1] - 1]
                contours.append({"label": number, "frame": frame, "points": points})
    return contours


def fill_contours(contours: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the labels inside polygons, of lesions in the order of their numbers; one within another is a hole.

    Args:
        contours: a list, each with the keys of :class:`~bus_monai.label.label_file.Contour`, from somebody else.
        shape: frames, rows and columns of the image.

    Returns:
        (F, H, W), the number of the lesion, 0 outside.

    Raises:
        UserError: one is no polygon, has another frame, or a number that is not from 1 to 255.
    """
    if not isinstance(contours, Sequence) or isinstance(contours, str):
        raise UserError("'contours' is no list: send one, which may be empty.", key="contours")
    polygons: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
    for place, contour in enumerate(contours, start=1):
        label, frame, points = _polygon(place, contour)
        if not (1 <= label <= 255 and 0 <= frame < shape[0]):
            raise UserError(
                f"Contour {place} is of lesion {label} in frame {frame}: number lesions from 1 to 255, and frames from "
                f"0 to {shape[0] - 1}."
            )
        polygons.setdefault((label, frame), []).append(points)
    labels = np.zeros(shape, dtype=np.uint8)
    for (label, frame), outlines in sorted(polygons.items(), key=lambda entry: entry[0]):
        inside = np.zeros(shape[1:], dtype=np.bool_)
        for points in outlines:
            _flip_inside(inside, points)
        labels[frame][inside] = label
    return labels


MAX_COORDINATE = 1_000_000
"""Pixels from the first, beyond which no image goes."""


def _polygon(place: int, contour: Any) -> tuple[int, int, NDArray[np.float64]]:
    try:
        label, frame = int(contour["label"]), int(contour["frame"])
        points = np.array(contour["points"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"Contour {place} is none: send 'label', 'frame' and 'points' of [column, row] each."
        ) from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not (np.abs(points) <= MAX_COORDINATE).all():
        raise UserError(f"Contour {place} is no polygon: send three points of [column, row] or more.")
    return label, frame, points


def _flip_inside(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> None:
    """Flip the pixels of a mask inside a polygon of [column, row]; it takes no memory but that of its own box."""
    low = np.clip(np.floor(points.min(axis=0)), 0, None).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, mask.shape[::-1]).astype(int)
    if (low < high).all():
        (left, top), (right, bottom) = low, high
        box = mask[top:bottom, left:right]
        box ^= grid_points_in_poly(box.shape, (points - low)[:, ::-1])


def image_shape(path: Path) -> tuple[int, int, int]:
    """Return frames, rows and columns.

    Raises:
        UserError: the file cannot be read.
    """
    first = read_source(path)
    rows, columns = first.pixels.shape
    return first.frames, rows, columns


def keep_numbers(mask: NDArray[np.bool_], before: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the labels of a changed mask.

    What is new and touches a lesion belongs to the nearest; what touches none gets the next free numbers, the largest
    first.

    Args:
        mask: (H, W), lesion now.
        before: (H, W), the number of the lesion, 0 outside.
    """
    markers = np.where(mask, before, 0).astype(np.int32)
    labels = watershed(np.zeros(mask.shape), markers, mask=mask, connectivity=2) if markers.any() else markers
    components, sizes = label_components(mask & (labels == 0))
    free = (number for number in range(1, 256) if number not in np.unique(before))
    for component, number in zip(range(1, len(sizes) + 1), free, strict=False):
        labels[components == component] = number
    return labels.astype(np.uint8)


LABEL_SUFFIXES = (".png", ".nii.gz", ".nii")


def label_suffix(name: str) -> str:
    """Return the suffix of a label file.

    Raises:
        UserError: it is none of ``LABEL_SUFFIXES``.
    """
    for suffix in LABEL_SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    raise UserError(
        f"A label comes as '{Path(name).suffix or name}': send it as one of {', '.join(LABEL_SUFFIXES)}.", path=name
    )


def read_labels(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read the labels of an image of frames, rows and columns ``shape``; what has another size is not decoded.

    Returns:
        (F, H, W), the number of the lesion, 0 outside; a mask of 0 and 255 is one lesion.

    Raises:
        UserError: the file is broken, of another size, or holds other values than 0 to 255.
    """
    labels = np.empty(shape, np.uint8)
    found: set[int] = set()
    for frame, values in enumerate(_read(path, shape)):
        if values.min() < 0 or values.max() > 255 or (values != np.rint(values)).any():
            raise UserError(f"The label '{path.name}' holds other values than 0 to 255: send the number of the lesion.")
        labels[frame] = values
        found |= set(np.flatnonzero(np.bincount(labels[frame].ravel(), minlength=256)).tolist())
    return (labels > 0).astype(np.uint8) if found <= {0, 255} else labels


def usual_suffix(frames: int, source: Path) -> str:
    """Return ``.nii.gz`` for the labels of a NIfTI image or a cine, ``.png`` for those of others."""
    return ".png" if frames == 1 and source_kind(source) != "nifti" else ".nii.gz"


def write_labels(labels: Sequence[NDArray[np.integer]], source: Path, output: Path) -> None:
    """Write labels (H, W), one per frame, as the suffix of ``output`` says, with the affine of a NIfTI ``source``.

    3D Slicer asks for ``.nrrd``, which only results come as.

    Raises:
        UserError: a PNG is asked for several frames.
    """
    frames = [frame.astype(np.uint8) for frame in labels]
    if output.suffix == ".nrrd":
        _write_nrrd(frames, source, output)
    elif label_suffix(output.name) == ".png":
        if len(frames) > 1:
            raise UserError(f"'{source.name}' has {len(frames)} frames, which a PNG cannot hold: ask for .nii.gz.")
        with atomic_file(output) as partial:
            Image.fromarray(frames[0]).save(partial, format="PNG")
    else:
        write_nifti_mask(frames, source if source_kind(source) == "nifti" else None, output)


def _write_nrrd(frames: Sequence[NDArray[np.uint8]], source: Path, output: Path) -> None:
    """Write in the format of https://teem.sourceforge.net/nrrd/format.html, whose space is that of DICOM."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ source_affine(source)
    vectors = ["(" + ",".join(f"{value:.17g}" for value in column[:3]) + ")" for column in affine.T]
    stored = [stored_mask(frame, source) for frame in frames]
    columns, rows = stored[0].shape
    header = {
        "type": "uint8",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": f"{columns} {rows} {len(frames)}",
        "space directions": " ".join(vectors[:3]),
        "kinds": "domain domain domain",
        "encoding": "gzip",
        "space origin": vectors[3],
    }
    lines = "".join(f"{key}: {value}\n" for key, value in header.items())
    with atomic_file(output) as partial, partial.open("wb") as file:
        file.write(f"NRRD0004\n{lines}\n".encode())
        with gzip.open(file, "wb", compresslevel=1) as packed:
            for frame in stored:
                packed.write(frame.tobytes("F"))


def _read(path: Path, shape: tuple[int, int, int]) -> Iterator[NDArray[Any]]:
    """Yield the values (H, W) of the frames as they are stored."""
    errors = (SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError)
    with reading(path.name, errors=errors, remedy="send it again"), open_source(path) as source:
        if source.kind == "raster":
            yield _read_png(source, shape)
        elif source.kind == "nifti":
            with nifti_values(source) as (header, values):
                if len(values.shape) < 2 or any(n != 1 for n in values.shape[3:]):
                    raise UserError(
                        f"The label '{path.name}' has the shape {values.shape}: send rows, columns and frames."
                    )
                order = stored_order(header)
                columns, rows, frames = (*values.shape, 1)[:3]
                if order.rows_first:
                    rows, columns = columns, rows
                _check_size(path, (frames, rows, columns), shape)
                rest = (0,) * len(values.shape[3:])
                for frame in range(frames):
                    stored = np.asarray(values[(..., frame, *rest)] if len(values.shape) > 2 else values[...])
                    yield order.to_picture(stored)
        else:
            raise UserError(
                f"The label '{path.name}' is no PNG or NIfTI file: send it as one of {', '.join(LABEL_SUFFIXES)}."
            )


def _read_png(source: OpenedSource, shape: tuple[int, int, int]) -> NDArray[Any]:
    source.file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(source.file, formats=("PNG",)) as image:
            _check_size(source.path, (1, image.height, image.width), shape)
            # the index of a palette is the number; a picture in colors is no label
            if image.mode not in ("L", "P", "1", "I;16", "I"):
                raise UserError(f"The label '{source.path.name}' is in colors: send the number of the lesion as gray.")
            return np.asarray(image).astype(np.int32)


def _check_size(path: Path, found: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    if found != shape:
        got, wanted = (" x ".join(map(str, size)) for size in (found, shape))
        raise UserError(f"The label '{path.name}' is {got} but its image {wanted} (frames, rows, columns): draw anew.")
