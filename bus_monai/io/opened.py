"""A source file that is opened, hashed and parsed once, whatever is then made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from bus_monai.errors import UserError, reading

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Kind: TypeAlias = Literal["raster", "nifti", "dicom"]
DICOM_SUFFIXES = (".dcm", ".dicom")
HEAD_BYTES = 352
"""Bytes from the start that tell what a file is."""
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class OpenedSource:
    """A file from :func:`open_source`; hash, header and frames are read through its one handle, in one thread.

    Args:
        path: of the file.
        kind: what it is, ``None`` where it is none of the kinds of images.
        file: the handle, whose position means nothing between two calls.
        is_empty: whether it holds no byte.
    """

    path: Path
    kind: Kind | None
    file: BinaryIO
    is_empty: bool

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content in hexadecimal digits.

        Raises:
            UserError: it cannot be read.
        """
        digest = hashlib.sha256()
        with reading(self.path):
            self.file.seek(0)
            while part := self.file.read(CHUNK_BYTES):
                digest.update(part)
        return digest.hexdigest()

    @property
    def header(self) -> Dataset:
        """All elements of a DICOM file before its pixels.

        Raises:
            UserError: it cannot be read as DICOM.
        """
        return self._parsed[0]

    @property
    def pixels_at(self) -> int:
        """Position of the element of the pixels of a DICOM file.

        Raises:
            UserError: it cannot be read as DICOM.
        """
        return self._parsed[1]

    def check(self) -> None:
        """Check that there is something to read.

        Raises:
            UserError: the file is empty.
        """
        if self.is_empty:
            raise UserError(f"'{self.path}' is empty: copy the file again or remove it.", path=self.path)

    @cached_property
    def _parsed(self) -> tuple[Dataset, int]:
        import pydicom

        # pydicom raises some ten kinds of errors, struct.error among them
        with reading(self.path, "DICOM", errors=(Exception,)):
            self.file.seek(0)
            # a name that promises DICOM counts where the file lacks the preamble
            forced = self.path.suffix.lower() in DICOM_SUFFIXES
            header = pydicom.dcmread(self.file, stop_before_pixels=True, force=forced)
            return header, self.file.tell()


@contextmanager
def open_source(path: str | Path) -> Iterator[OpenedSource]:
    """Open a file for all that is to be read of it.

    Raises:
        UserError: it is missing or may not be read.

    Example:
        >>> with open_source("breast.dcm") as source:  # doctest: +SKIP
        ...     print(source.kind, source.header.Modality, source.sha256[:8])
        dicom US 9f86d081
    """
    path = Path(path)
    with reading(path):
        file = path.open("rb")
    with file:
        with reading(path):
            head = file.read(HEAD_BYTES)
        yield OpenedSource(path, kind_of(head, path), file, not head)


def kind_of(head: bytes, path: Path) -> Kind | None:
    """Tell what a file is from its first :data:`HEAD_BYTES` bytes, and from its name where these leave it open."""
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return "raster"
    if head[128:132] == b"DICM" or path.suffix.lower() in DICOM_SUFFIXES:
        return "dicom"
    if (
        head[344:348] in (b"n+1\0", b"ni1\0")
        or head[4:8] == b"n+2\0"
        or (head[:2] == b"\x1f\x8b" and path.name.endswith(".nii.gz"))
    ):
        return "nifti"
    return None


def source_kind(path: Path) -> Kind | None:
    """Tell what a file is, or ``None``, also where there is nothing to read."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(HEAD_BYTES), path)
    except OSError:
        return None


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    with open_source(path) as source:
        return source.sha256
