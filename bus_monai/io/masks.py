"""Masks and pictures of them as files, in the kind and geometry of their source."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.io.atomic import atomic_file
from bus_monai.io.nifti import nifti_header, stored_order
from bus_monai.io.opened import source_kind
from bus_monai.io.ours import MARK, PNG_MARK, png_mark

PACKING_LEVEL = 2
"""Of zlib: speckle hardly packs; level 3 takes half as long again for an eighth less, the default, 6, four times."""
_COLOR, _BITS, _FROM_LEFT = 2, 8, 1


def write_mask(mask: NDArray[np.bool_], source: Path, output: Path) -> None:
    """Write a mask (H, W), rows first, marked as ours, in the kind and the geometry of ``source``; make the folder."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if source_kind(source) == "nifti":
        write_nifti_mask([mask], source, output)
    else:
        write_png_mask(mask, output)


def stored_mask(mask: NDArray[Any], source: Path) -> NDArray[Any]:
    """Return a mask (H, W), rows first, in the order in which a NIfTI ``source`` is stored; of others columns first."""
    if source_kind(source) == "nifti":
        return stored_order(nifti_header(source)).to_stored(mask)
    return mask.T


def source_affine(source: Path) -> NDArray[np.float64]:
    """Return the affine (4, 4) of a NIfTI file, of any other that with which ITK and so 3D Slicer show pixels."""
    if source_kind(source) == "nifti":
        return np.asarray(nifti_header(source).get_best_affine())
    return np.diag([-1.0, -1.0, 1.0, 1.0])


def write_png_mask(mask: NDArray[np.bool_], output: Path) -> None:
    """Write a mask (H, W) as PNG with 0 and 255, marked as ours."""
    with atomic_file(output) as partial:
        picture = Image.fromarray(mask.astype(np.uint8) * 255)
        picture.save(partial, format="PNG", pnginfo=png_mark(), compress_level=1, compress_type=zlib.Z_RLE)


def write_nifti_mask(
    masks: Sequence[NDArray[np.bool_] | NDArray[np.integer]],
    reference: Path | None,
    output: Path,
    *,
    spacing_mm: tuple[float, float] | None = None,
) -> None:
    """Write masks (H, W), one per frame, as NIfTI with 0 and 1, or with numbers of lesions, columns first.

    The affine is that of ``reference``, a NIfTI file, or without one ``spacing_mm`` of rows and columns, 1 where not
    known. The description marks the file as ours.
    """
    import nibabel as nib

    with atomic_file(output) as partial:
        if reference is not None:
            header = nifti_header(reference)
            # NIfTI may hold axes of length one behind
            stored = stored_order(header).to_stored(masks[0])
            values, affine = stored.reshape(header.get_data_shape()), header.get_best_affine()
        else:
            rows_mm, columns_mm = spacing_mm or (1.0, 1.0)
            values = np.empty((*masks[0].T.shape, len(masks)), np.uint8, order="F")
            for frame, mask in enumerate(masks):
                values[..., frame] = mask.T
            affine = np.diag([columns_mm, rows_mm, 1.0, 1.0])
        image = nib.Nifti1Image(np.asarray(values, np.uint8), affine, dtype=np.uint8)
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
    """Write a picture (H, W, 3), RGB, marked as ours; each pixel is told by the one to the left.

    Pillow tries all five filters of PNG on each row, which for speckle finds this one (https://www.w3.org/TR/png-3).
    """
    height, width, _ = picture.shape
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    lines[:, 0] = _FROM_LEFT
    lines[:, 1:4] = picture[:, 0]
    np.subtract(picture[:, 1:], picture[:, :-1], out=lines[:, 4:].reshape(height, width - 1, 3))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _BITS, _COLOR, 0, 0, 0)))
        for word, text in PNG_MARK.items():
            file.write(_chunk(b"tEXt", word.encode("latin-1") + b"\0" + text.encode("latin-1")))
        file.write(_chunk(b"IDAT", zlib.compress(lines.data, PACKING_LEVEL)))
        file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
