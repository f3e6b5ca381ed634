"""Files that are no image of a kind that is read: what they are instead, and what to do about it."""

from __future__ import annotations

from bus_monai.errors import UserError
from bus_monai.io.opened import HEAD_BYTES, OpenedSource

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
