"""List the images below a folder, and say of other files what they are."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from bus_monai.errors import UserError
from bus_monai.io.image import NIFTI_SUFFIXES, RASTER_SUFFIXES, image_stem
from bus_monai.io.opened import (
    DICOM_SUFFIXES,
    HEAD_BYTES,
    Kind,
    OpenedSource,
    SpecialFileError,
    kind_of,
    open_regular,
    open_source,
    source_kind,
)
from bus_monai.io.ours import MARKED_ENDINGS, Results, is_labels_folder, is_marked, results_above


def list_sources(folder: Path) -> list[tuple[Path, int]]:
    """List the images below ``folder``, sorted, one entry per frame; or those of one file.

    DICOM objects that are no images (reports, segmentations) are left out, as is what :func:`find_sources` leaves out.
    """
    return [(path, frame) for path, _, frames in list_files(folder) for frame in range(frames)]


def list_files(folder: Path) -> list[tuple[Path, Kind | None, int]]:
    """List the image files below ``folder``, sorted, or the file itself: path, kind and frames, 0 of what is no image.

    Each is opened once.
    """
    return [(path, *_kind_and_frames(path)) for path in find_sources(folder) if path.is_file()]


def find_sources(
    source: Path, *, leave_out: Path | None = None, ours: Sequence[Container[Path]] = ()
) -> Iterator[Path]:
    """Yield the image files below a folder in the order of their paths, or the file itself, without reading ahead.

    Masks (``*_mask``, ``*_mask_1``), what this package wrote, hidden files and files of other kinds are left out. A
    broken file whose name promises an image comes too, as does what cannot be opened, a link that leads in a circle,
    and a pipe, device or socket, which is not opened, so that nothing is lost without a word. A file itself comes
    whatever it is called and holds; of a ``DICOMDIR`` the images that it lists come.

    Args:
        source: a folder, whose links to other folders are followed, or a file.
        leave_out: a folder not to search.
        ours: results that this package wrote or writes, beside those that a manifest tells.
    """
    if source.is_dir():
        ours = [*ours, *results_above(source)]
        yield from _walk(source, leave_out.resolve() if leave_out else None, {source.resolve()}, ours)
    elif source.name.upper() == "DICOMDIR" and source_kind(source) == "dicom":
        from bus_monai.dicom.read import listed_images

        yield from listed_images(source)
    else:
        yield source


def _walk(folder: Path, leave_out: Path | None, above: set[Path], ours: list[Container[Path]]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield folder
        return
    for path in entries:
        if path.is_dir():
            real = path.resolve()
            if real in above:
                yield path
            elif real != leave_out and not is_labels_folder(path):
                here = Results(path)
                yield from _walk(path, leave_out, above | {real}, [*ours, here] if here.names else ours)
        elif not path.name.startswith(".") and may_be_image(path) and not is_result(path, ours):
            yield path


def is_result(path: Path, ours: Sequence[Container[Path]]) -> bool:
    """Tell whether a file was written by this package: some results list it, or it says so itself."""
    absolute = path.absolute()
    return any(absolute in results or path in results for results in ours) or (
        path.name.lower().endswith(MARKED_ENDINGS) and is_marked(path)
    )


_MASK = re.compile(r".+_mask(_\d+)?", re.IGNORECASE)


def may_be_image(path: Path) -> bool:
    """Tell whether a file of a folder may be an image: by its name, and where that says nothing by its first bytes."""
    if _MASK.fullmatch(image_stem(path.name)):
        return False
    # a name that promises an image need not be looked into
    if path.name.lower().endswith(RASTER_SUFFIXES + NIFTI_SUFFIXES) or path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with open_regular(path) as file:
            return kind_of(file.read(HEAD_BYTES), path) is not None
    except (OSError, SpecialFileError):
        return True


def _kind_and_frames(path: Path) -> tuple[Kind | None, int]:
    from bus_monai.dicom.read import count_frames

    kind = None
    try:
        with open_source(path) as source:
            kind = source.kind
            return kind, count_frames(source) if kind == "dicom" else 1
    except UserError:
        return kind, 1  # reading it will say what is wrong


_UNPACK = "unpack it and give its folder"
_CONVERT = "convert it to PNG"
_NIFTI = "convert it to NIfTI or PNG"
_FRAMES = "save its frames as PNG, or give the DICOM cine"
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"PK\x05\x06", "a ZIP archive", _UNPACK),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"BZh", "packed by bzip2", _UNPACK),
    (b"\xfd7zXZ", "packed by xz", _UNPACK),
    (b"BM", "a BMP picture", _CONVERT),
    (b"II*\0", "a TIFF picture", _CONVERT),
    (b"MM\0*", "a TIFF picture", _CONVERT),
    (b"II+\0", "a TIFF picture", _CONVERT),
    (b"GIF8", "a GIF picture", _CONVERT),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
    (b"%PDF", "a PDF", "export the image as PNG or DICOM"),
    (b"\x93NUMPY", "an array of NumPy", "load it in Python, or save it as PNG"),
    (b"NRRD", "an NRRD file", _NIFTI),
    (b"ObjectType", "a MetaImage file", _NIFTI),
    (b"SIMPLE  =", "a FITS file", _NIFTI),
    (b"\x89HDF", "an HDF5 file", _NIFTI),
    (b"\x1aE\xdf\xa3", "a video", _FRAMES),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with 'git lfs pull'"),
    (b"<!DOCTYPE", "a page of the web", "download the file itself"),
    (b"<html", "a page of the web", "download the file itself"),
)
"""First bytes, what they mean, and the remedy."""
_TAR_AT, _TAR = 257, b"ustar"


def other_kind(source: OpenedSource) -> UserError:
    """Return what to say of an opened file that is no image of a kind that is read."""
    what = what_else(source)
    if what:
        kind, remedy = what.split(": ")
        sentence = f"'{source.path}' is {kind} and no PNG, JPEG, NIfTI or DICOM file: {remedy}."
    else:
        sentence = f"'{source.path}' is no PNG, JPEG, NIfTI or DICOM file: remove it or give another."
    return UserError(sentence, path=source.path)


def what_else(source: OpenedSource) -> str:
    """Return what an opened file is and what to do about it, as ``a ZIP archive: unpack it``; empty if not known."""
    source.file.seek(0)
    what, remedy = _tell(source.file.read(HEAD_BYTES))
    return what and f"{what}: {remedy}"


def _tell(head: bytes) -> tuple[str, str]:
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "a TAR archive", _UNPACK
    if head[:4] == b"RIFF":
        return ("a WebP picture", _CONVERT) if head[8:12] == b"WEBP" else ("a video", _FRAMES)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return ("a HEIC or AVIF picture", _CONVERT) if brand[:2] in (b"he", b"mi", b"av") else ("a video", _FRAMES)
    return next(((what, remedy) for start, what, remedy in KINDS if head.startswith(start)), ("", ""))
