"""Labels of an image as files, PNG, and NIfTI for what has a geometry or frames, and the fields of its case."""

from __future__ import annotations

import gzip
import json
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.errors import UserError, check_choice, reading
from bus_monai.io.atomic import atomic_file
from bus_monai.io.masks import source_affine, stored_mask, write_nifti_mask
from bus_monai.io.nifti import nifti_values, stored_order
from bus_monai.io.opened import OpenedSource, open_source, source_kind
from bus_monai.sources.read import read_source


def image_shape(path: Path) -> tuple[int, int, int]:
    """Return frames, rows and columns.

    Raises:
        UserError: the file cannot be read.
    """
    first = read_source(path)
    rows, columns = first.pixels.shape
    return first.frames, rows, columns


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


FIELDS_FILE = "fields.json"
"""Beside the images of ``label``: what is asked of a case beside its outlines."""
DEFAULT_FIELDS = Path(__file__).with_name(FIELDS_FILE)
"""Without one there: the words of ACR BI-RADS Ultrasound (Mendelson et al., ACR BI-RADS Atlas, 5th edition, 2013)."""
MAX_FIELDS, MAX_VALUES, MAX_WORDS, MAX_COMMENT = 50, 100, 200, 4000
"""Fields, values of one, and characters of a title or value, and of free text."""
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class CaseField(TypedDict):
    """What is asked of a case: a name for tables, a title for people, and the values to choose from or free text."""

    name: str
    title: str
    values: list[str] | None


def read_fields(folder: Path) -> list[CaseField]:
    """Return the fields that ``fields.json`` of a folder of images lists, without one :data:`DEFAULT_FIELDS`.

    Raises:
        UserError: it is no list of fields.
    """
    path = folder / FIELDS_FILE if (folder / FIELDS_FILE).is_file() else DEFAULT_FIELDS
    with reading(path, "JSON", errors=(ValueError,), remedy="correct or remove it"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, list) or len(content) > MAX_FIELDS:
            raise ValueError(f"it is no list of up to {MAX_FIELDS} fields")
        fields = [_field(place, entry) for place, entry in enumerate(content, start=1)]
        names = [field["name"] for field in fields]
        if len(set(names)) < len(names):
            raise ValueError("two fields have one name")
    return fields


def _field(place: int, entry: Any) -> CaseField:
    if not isinstance(entry, dict) or entry.keys() != CaseField.__annotations__.keys():
        raise ValueError(f"field {place} has not the keys {', '.join(CaseField.__annotations__)} alone")
    name, title, values = entry["name"], entry["title"], entry["values"]
    if not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"the name of field {place} is not of small letters, digits and '_'")
    words = [title] if values is None else [title, *values] if isinstance(values, list) else [None]
    if len(words) > MAX_VALUES + 1 or not all(isinstance(word, str) and 0 < len(word) <= MAX_WORDS for word in words):
        raise ValueError(f"the title or a value of '{name}' is no short text")
    return {"name": name, "title": title, "values": values}


def check_fields(sent: Any, fields: Sequence[CaseField]) -> dict[str, str]:
    """Return the values by field of what a client sent; those that are empty are left out.

    Raises:
        UserError: a field is not asked for, or its value is none that it may have.
    """
    if not isinstance(sent, Mapping | None):
        raise UserError("'fields' is no object: send {NAME: VALUE, ...}.", key="fields")
    known = {field["name"]: field["values"] for field in fields}
    told = {}
    for name, value in (sent or {}).items():
        check_choice("fields", name, known)
        values = known[name]
        if value in (None, ""):
            continue
        if values is not None:
            check_choice(name, value, values)
        elif not isinstance(value, str) or len(value) > MAX_COMMENT:
            raise UserError(f"'{name}' is no text of up to {MAX_COMMENT} characters: shorten it.", key=name)
        told[name] = value
    return told
