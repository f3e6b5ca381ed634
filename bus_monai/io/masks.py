"""Masks, labels and pictures of them as files, in the kind and geometry of their source."""

from __future__ import annotations

import gzip
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Box
from bus_monai.io.atomic import atomic_file
from bus_monai.io.image import check_whole
from bus_monai.io.nifti import is_unoriented, nifti_header, nifti_values, stored_order
from bus_monai.io.opened import Kind, OpenedSource, open_source, source_kind
from bus_monai.io.ours import MARK, OUTPUT_SUFFIXES, PNG_MARK

PNG_MASK = (
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # fmt: skip
PNG_PICTURE = (cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)
"""Each pixel told by the one to the left, the best filter for speckle; all five, which libraries try by default, take
half as long again. Speckle hardly packs: level 3 of zlib takes half as long again for an eighth less, the default, 6,
four times."""
_GEOMETRY = (
    "pixdim", "xyzt_units", "sform_code", "srow_x", "srow_y", "srow_z",
    "qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
)  # fmt: skip
"""Fields of a NIfTI header, by their names in nibabel."""
_HEAD_BYTES = 33
"""Of a PNG: the signature and the first chunk."""


def write_mask(mask: NDArray[np.bool_], source: Path, output: Path) -> None:
    """Write a mask (H, W), rows first, marked as ours, in the kind and the geometry of ``source``; make the folder."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if source_kind(source) == "nifti":
        write_nifti_mask([mask], source, output)
    else:
        write_png_mask(mask, output)


def mask_suffix(kind: Kind | None) -> str:
    """Return the end of the name of a mask that :func:`write_mask` writes for a source of a kind."""
    return OUTPUT_SUFFIXES["nifti" if kind == "nifti" else "png"]


def stored_mask(mask: NDArray[Any], source: Path) -> NDArray[Any]:
    """Return a mask (H, W), rows first, in the order in which a NIfTI ``source`` is stored; of others columns first."""
    if source_kind(source) == "nifti":
        return stored_order(nifti_header(source)).to_stored(mask)
    return mask.T


def source_affine(source: Path) -> NDArray[np.float64]:
    """Return the affine (4, 4) of a NIfTI file; of one without codes, and of any other, that with which ITK and so 3D
    Slicer show pixels.
    """
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    if source_kind(source) == "nifti":
        header = nifti_header(source)
        # nibabel turns what says nothing of its orientation, ITK does not
        affine = affine * np.abs(header.get_base_affine()) if is_unoriented(header) else header.get_best_affine()
    return affine


def write_png_mask(mask: NDArray[np.bool_], output: Path) -> None:
    """Write a mask (H, W) as PNG with 0 and 255, marked as ours."""
    with atomic_file(output) as partial:
        _write_png(partial, np.multiply(mask, 255, dtype=np.uint8, casting="unsafe"), PNG_MASK)


def write_nifti_mask(
    masks: Sequence[NDArray[np.bool_] | NDArray[np.integer]],
    reference: Path | None,
    output: Path,
    *,
    spacing_mm: tuple[float, float] | None = None,
    dtype: type[np.integer] = np.uint8,
) -> None:
    """Write masks (H, W), one per frame, as NIfTI with 0 and 1, or numbers of lesions, columns first, as ``dtype``.

    The geometry is that of ``reference``, a NIfTI file, in both forms with their codes, or without one an affine of
    ``spacing_mm`` of rows and columns, 1 where not known. The description marks the file as ours.
    """
    import nibabel as nib

    with atomic_file(output) as partial:
        if reference is not None:
            header = nifti_header(reference)
            # NIfTI may hold axes of length one behind
            values = stored_order(header).to_stored(masks[0]).reshape(header.get_data_shape())
            image = nib.Nifti1Image(np.asarray(values, dtype), None, dtype=dtype)
            for key in _GEOMETRY:
                image.header[key] = header[key]
        else:
            rows_mm, columns_mm = spacing_mm or (1.0, 1.0)
            values = np.empty((*masks[0].T.shape, len(masks)), dtype, order="F")
            for frame, mask in enumerate(masks):
                values[..., frame] = mask.T
            image = nib.Nifti1Image(values, np.diag([columns_mm, rows_mm, 1.0, 1.0]), dtype=dtype)
        image.header["descrip"] = MARK
        nib.save(image, partial)


def write_nifti_image(
    frames: Sequence[NDArray[np.floating]], output: Path, *, spacing_mm: tuple[float, float] | None
) -> None:
    """Write gray images (H, W) in [0, 1], one per frame, as NIfTI with 0 to 255, in the geometry of
    :func:`write_nifti_mask`.
    """
    import nibabel as nib

    rows_mm, columns_mm = spacing_mm or (1.0, 1.0)
    values = np.stack([np.rint(frame.T * 255).astype(np.uint8) for frame in frames], axis=-1)
    image = nib.Nifti1Image(values, np.diag([columns_mm, rows_mm, 1.0, 1.0]), dtype=np.uint8)
    image.header.set_xyzt_units("mm" if spacing_mm else "unknown")
    with atomic_file(output) as partial:
        nib.save(image, partial)


def frame_mark(frame: int, frames: int) -> str:
    """Return what stands in the name of a file of one frame of a cine, such as ``_frame007``, counted from 0."""
    return f"_frame{frame:0{max(3, len(str(frames - 1)))}d}"


def write_color_png(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture (H, W, 3), RGB, marked as ours."""
    _write_png(path, picture[..., ::-1], PNG_PICTURE)


def _write_png(path: Path, values: NDArray[np.uint8], how: Sequence[int]) -> None:
    packed = cv2.imencode(".png", values, how)[1].tobytes()
    marks = (
        _chunk(b"tEXt", word.encode("latin-1") + b"\0" + text.encode("latin-1")) for word, text in PNG_MARK.items()
    )
    path.write_bytes(b"".join([packed[:_HEAD_BYTES], *marks, packed[_HEAD_BYTES:]]))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


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

    3D Slicer asks for ``.nrrd``, which only results come as. Values are of 8 bits, of 16 where a long cine has
    more than 255 lesions.

    Raises:
        UserError: a PNG is asked for several frames.
    """
    most = max((int(frame.max(initial=0)) for frame in labels), default=0)
    dtype: type[np.integer] = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16
    frames = [frame.astype(dtype) for frame in labels]
    if output.suffix == ".nrrd":
        _write_nrrd(frames, source, output)
    elif label_suffix(output.name) == ".png":
        if len(frames) > 1:
            raise UserError(f"'{source.name}' has {len(frames)} frames, which a PNG cannot hold: ask for .nii.gz.")
        with atomic_file(output) as partial:
            Image.fromarray(frames[0]).save(partial, format="PNG")
    else:
        write_nifti_mask(frames, source if source_kind(source) == "nifti" else None, output, dtype=dtype)


def _write_nrrd(frames: Sequence[NDArray[np.integer]], source: Path, output: Path) -> None:
    """Write in the format of https://teem.sourceforge.net/nrrd/format.html, whose space is that of DICOM."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ source_affine(source)
    vectors = ["(" + ",".join(f"{value:.17g}" for value in column[:3]) + ")" for column in affine.T]
    stored = [stored_mask(frame, source) for frame in frames]
    columns, rows = stored[0].shape
    header = {
        "type": str(stored[0].dtype),
        "endian": sys.byteorder,
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
            check_whole(image, source.file)
            # the index of a palette is the number; a picture in colors is no label
            if image.mode not in ("L", "P", "1", "I;16", "I"):
                raise UserError(f"The label '{source.path.name}' is in colors: send the number of the lesion as gray.")
            return np.asarray(image).astype(np.int32)


def _check_size(path: Path, found: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    if found != shape:
        got, wanted = (" x ".join(map(str, size)) for size in (found, shape))
        raise UserError(f"The label '{path.name}' is {got} but its image {wanted} (frames, rows, columns): draw anew.")


MAX_KEPT_BYTES = 8_000_000
"""Of packed labels, in memory."""


@dataclass(frozen=True)
class PackedFrame:
    """Labels of a frame, packed.

    Args:
        shape: (H, W).
        box: beyond which all are 0.
        values: those within, by zlib.
        names: the label that stands for each of these, ``None`` where they are what they say.
    """

    shape: tuple[int, ...]
    box: Box
    values: bytes
    names: NDArray[np.uint16] | None = None

    @classmethod
    def of(cls, labels: NDArray[np.integer]) -> PackedFrame:
        """Pack labels (H, W)."""
        box = Box.from_mask(labels > 0)
        return cls(labels.shape, box, zlib.compress(labels[box.slices].astype(np.uint16).tobytes(), 1))

    def unpacked(self) -> NDArray[np.uint16]:
        """Return the labels (H, W)."""
        labels = np.zeros(self.shape, np.uint16)
        values = np.frombuffer(zlib.decompress(self.values), np.uint16)
        named = values if self.names is None else self.names[values]
        labels[self.box.slices] = named.reshape(self.box.height, self.box.width)
        return labels


class PackedLabels(Sequence[NDArray[np.uint16]]):
    """Labels (H, W) of frames, packed, beyond some megabytes in a temporary file: a cine of any length takes no more.

    Example:
        >>> labels = PackedLabels()
        >>> labels.append(np.eye(2, dtype=np.uint16))
        >>> len(labels), labels[0].tolist()
        (1, [[1, 0], [0, 1]])
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_KEPT_BYTES)  # noqa: SIM115 (it ends with the labels)
        self._turn = Lock()
        self._places: list[tuple[tuple[int, ...], Box, int, int]] = []
        self._names: dict[int, NDArray[np.uint16]] = {}
        self._only: NDArray[np.uint16] | None = None

    def append(self, labels: NDArray[np.uint16] | PackedFrame) -> None:
        """Add a frame, which may be packed already."""
        # what is no cine is neither packed nor unpacked
        if not len(self) and not isinstance(labels, PackedFrame):
            self._only = labels
            return
        if self._only is not None:
            only, self._only = self._only, None
            self._keep(PackedFrame.of(only))
        self._keep(labels if isinstance(labels, PackedFrame) else PackedFrame.of(labels))

    def _keep(self, packed: PackedFrame) -> None:
        with self._turn:
            self._file.seek(0, SEEK_END)
            self._places.append((packed.shape, packed.box, self._file.tell(), len(packed.values)))
            self._file.write(packed.values)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint16]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint16]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint16] | list[NDArray[np.uint16]]:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        if self._only is not None:
            return (self._only,)[index]
        shape, box, start, length = self._places[index]
        with self._turn:
            self._file.seek(start)
            values = self._file.read(length)
        return PackedFrame(shape, box, values, self._names.get(index % len(self))).unpacked()

    def rename(self, index: int, names: NDArray[np.uint16]) -> None:
        """Give the labels of a frame of several other numbers, the one that ``names`` has at the place of each."""
        self._names[index] = names

    def __len__(self) -> int:
        return len(self._places) or int(self._only is not None)
