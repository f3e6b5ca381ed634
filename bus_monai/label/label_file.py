"""Labels of an image as files: PNG, and NIfTI for what has a geometry or frames."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.atomic_file import atomic_file
from bus_monai.errors import UserError
from bus_monai.mask_file import write_nifti_mask
from bus_monai.source import source_kind

SUFFIXES = (".png", ".nii.gz", ".nii")


def label_suffix(name: str) -> str:
    """Return the suffix of a label file.

    Raises:
        UserError: it is none of ``SUFFIXES``.
    """
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    raise UserError(f"A label comes as '{Path(name).suffix or name}': send it as one of {', '.join(SUFFIXES)}.")


def read_labels(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read the labels of an image of frames, rows and columns ``shape``.

    Returns:
        (F, H, W), the number of the lesion, 0 outside; a mask of 0 and 255 is one lesion.

    Raises:
        UserError: the file is broken, of another size, or holds other values than 0 to 255.
    """
    values = _read(path)
    if values.shape != shape:
        got, wanted = (" x ".join(map(str, size)) for size in (values.shape, shape))
        raise UserError(f"The label '{path.name}' is {got} but its image {wanted} (frames, rows, columns): draw anew.")
    if values.min() < 0 or values.max() > 255 or (values != np.rint(values)).any():
        raise UserError(f"The label '{path.name}' holds other values than 0 to 255: send the number of the lesion.")
    labels = values.astype(np.uint8)
    return (labels > 0).astype(np.uint8) if set(np.unique(labels)) <= {0, 255} else labels


def usual_suffix(frames: int, source: Path) -> str:
    """Return ``.nii.gz`` for the labels of a NIfTI image or a cine, ``.png`` for those of others."""
    return ".png" if frames == 1 and source_kind(source) != "nifti" else ".nii.gz"


def write_labels(labels: Sequence[NDArray[np.integer]], source: Path, output: Path) -> None:
    """Write labels (H, W), one a frame, as the suffix of ``output`` says, with the affine of a NIfTI ``source``.

    Raises:
        UserError: a PNG is asked for several frames.
    """
    frames = [frame.astype(np.uint8) for frame in labels]
    if label_suffix(output.name) == ".png":
        if len(frames) > 1:
            raise UserError(f"'{source.name}' has {len(frames)} frames, which a PNG cannot hold: ask for .nii.gz.")
        with atomic_file(output) as partial:
            Image.fromarray(frames[0]).save(partial, format="PNG")
    else:
        write_nifti_mask(frames, source, output)


def _read(path: Path) -> NDArray[Any]:
    kind = source_kind(path)
    try:
        if kind == "raster":
            with Image.open(path, formats=("PNG",)) as image:
                # the index of a palette is the number; a picture in colours is no label
                if image.mode not in ("L", "P", "1", "I;16", "I"):
                    raise UserError(f"The label '{path.name}' is in colours: send the number of the lesion as grey.")
                return np.asarray(image)[None].astype(np.int64)
        if kind == "nifti":
            import nibabel as nib

            values = np.asarray(nib.load(path).dataobj)
            if values.ndim >= 2 and all(n == 1 for n in values.shape[3:]):
                stack = values.reshape((*values.shape[:2], -1))
                return np.moveaxis(stack, 2, 0).transpose(0, 2, 1)
            raise UserError(f"The label '{path.name}' has the shape {values.shape}: send rows, columns and frames.")
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        raise UserError(f"The label '{path.name}' cannot be read ({error}): send it again.") from error
    raise UserError(f"The label '{path.name}' is no PNG or NIfTI file: send it as one of {', '.join(SUFFIXES)}.")
