"""A source file that is opened, hashed and parsed once, whatever is then made of it, and decoders that keep quiet."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import stat
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from bus_monai.errors import UserError, reading
from bus_monai.io.budget import Budget

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Kind: TypeAlias = Literal["raster", "nifti", "dicom"]
DICOM_SUFFIXES = (".dcm", ".dicom")
HEAD_BYTES = 352
"""Bytes from the start that tell what a file is."""
CHUNK_BYTES = 1 << 20
DECODERS = ("pydicom", "highdicom", "nibabel.global", "PIL")
"""Loggers that quote what they decode."""


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
    def identity(self) -> list[int]:
        """Numbers that tell the file from one that takes its place."""
        status = os.fstat(self.file.fileno())
        return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]

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
        return self._parse()[0]

    @property
    def pixels_at(self) -> int:
        """Position of the element of the pixels of a DICOM file.

        Raises:
            UserError: it cannot be read as DICOM.
        """
        return self._parse()[1]

    def check(self) -> None:
        """Check that there is something to read.

        Raises:
            UserError: the file is empty.
        """
        if self.is_empty:
            raise UserError(f"'{self.path}' is empty: copy the file again or remove it.", path=self.path)

    def check_unpacked(self) -> None:
        """Check what a deflated DICOM file unpacks to, which pydicom does at one go.

        Raises:
            UserError: it is too much, see :class:`~bus_monai.io.budget.Budget`.
        """
        if self._too_much:
            raise UserError(*self._too_much.args, path=self.path, key=self._too_much.key)

    @cached_property
    def _too_much(self) -> UserError | None:
        try:
            for _ in self._inflated():
                pass
        except UserError as error:
            return error
        return None

    def _inflated(self) -> Iterator[bytes]:
        """Yield what a deflated DICOM file unpacks to, behind its head, as long as it is not too much."""
        from pydicom.filereader import _read_file_meta_info, read_preamble

        self.file.seek(0)
        if _DEFLATED not in self.file.read(_BEFORE_DATA):
            return
        self.file.seek(0)
        read_preamble(self.file, force=True)
        _read_file_meta_info(self.file)
        budget, count, inflate = Budget.current(), 0, zlib.decompressobj(-zlib.MAX_WBITS)
        while packed := inflate.unconsumed_tail or self.file.read(CHUNK_BYTES):
            part = inflate.decompress(packed, CHUNK_BYTES)
            count += len(part)
            budget.check_bytes(self.path, count)
            yield part
            if inflate.eof:
                break

    @cached_property
    def content(self) -> BinaryIO:
        """The bytes of a DICOM file, of a deflated one as it unpacks, in which ``pixels_at`` is a position.

        Raises:
            UserError: it cannot be unpacked, or is too large.
        """
        with reading(self.path, "DICOM", errors=(Exception,)):
            self.check_unpacked()
            data = b"".join(self._inflated())
            if not data:
                return self.file
            from pydicom.filereader import _read_file_meta_info, read_preamble
            from pydicom.filewriter import write_file_meta_info
            from pydicom.uid import ExplicitVRLittleEndian

            self.file.seek(0)
            read_preamble(self.file, force=True)
            meta = _read_file_meta_info(self.file)
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            plain = io.BytesIO(bytes(128) + b"DICM")
            plain.seek(0, io.SEEK_END)
            write_file_meta_info(plain, meta, enforce_standard=False)
            plain.write(data)
            return plain

    def _parse(self) -> tuple[Dataset, int]:
        if isinstance(self._parsed, UserError):
            raise self._parsed
        return self._parsed

    @cached_property
    def _parsed(self) -> tuple[Dataset, int] | UserError:
        """The header, or what is wrong with it, which is not looked for again."""
        from pydicom.filereader import read_partial
        from pydicom.uid import UID

        budget, seen = Budget.current(), 0

        def at_pixels(tag: int, *_: object) -> bool:
            nonlocal seen
            seen += 1
            budget.check_elements(self.path, seen)
            return tag in _PIXEL_TAGS

        try:
            # pydicom raises some ten kinds of errors, struct.error among them
            with reading(self.path, "DICOM", errors=(Exception,)):
                file = self.content
                file.seek(0)
                # a name that promises DICOM, or what looks like elements, counts where the file lacks the preamble
                header = read_partial(file, at_pixels, force=True)
                pixels_at = file.tell()
                if not header.file_meta.get("TransferSyntaxUID"):
                    header.file_meta.TransferSyntaxUID = UID(_SYNTAXES[header.original_encoding])
                budget.check_elements(self.path, _count_elements(header))
                return header, pixels_at
        except UserError as error:
            cause = error.__cause__ and error.__cause__.with_traceback(None)  # which holds what was read
            found = UserError(*error.args, path=error.path, key=error.key)
            found.__cause__ = cause
            return found


_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
SHORT_ELEMENT_BYTES = 32
"""Bytes of an element of a sequence that is not read yet."""


def _count_elements(header: Dataset) -> int:
    """Count the elements of a header and its sequences, none of which is decoded for that."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR
    from pydicom.dataelem import DataElement

    count, datasets = 0, [header]
    while datasets:
        for element in datasets.pop().values():
            count += 1
            representation = element.VR or (dictionary_has_tag(element.tag) and dictionary_VR(element.tag))
            if representation == "SQ" and isinstance(element, DataElement):
                datasets.extend(element.value)
            elif representation == "SQ":
                count += len(element.value or b"") // SHORT_ELEMENT_BYTES
    return count


_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class SpecialFileError(UserError):
    """What bears the name is a pipe, a device or a socket, which may have no end and is never opened."""


def special_kind(path: Path) -> str:
    """Return what a path is, in words, where neither file nor folder; empty where it is one, or cannot be asked.

    Example:
        >>> special_kind(Path("/dev/zero"))
        'a device'
    """
    try:
        return _SPECIAL.get(stat.S_IFMT(path.stat().st_mode), "")
    except (OSError, ValueError):
        return ""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read, and nothing that only looks like one.

    Raises:
        SpecialFileError: it is, or a link leads to, a pipe, a device or a socket.
        OSError: it is missing, a folder, or may not be read.
    """
    if kind := special_kind(path):
        raise SpecialFileError(f"'{path}' is {kind} and no file: remove it.", path=path)
    # what is put in its place in between neither waits for a writer nor passes the second look
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise SpecialFileError(f"'{path}' is no file: remove it.", path=path)
    except BaseException:
        os.close(handle)
        raise
    raw = io.FileIO(handle)
    raw.name = str(path)  # libraries name it in what they say
    return _File(raw)


class _File(io.BufferedReader):
    """As its base, but to ask for more than there is takes no memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > CHUNK_BYTES:
            size = max(0, min(size, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


_SYNTAXES = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""Transfer syntaxes of pixels that are not compressed, by whether elements lack their kind, and the order of bytes."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_BEFORE_DATA = 1 << 16


@contextmanager
def open_source(path: str | Path) -> Iterator[OpenedSource]:
    """Open a file for all that is to be read of it.

    Raises:
        SpecialFileError: it is a pipe, a device or a socket.
        UserError: it is missing or may not be read.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> with open_source(get_testdata_file("examples_rgb_color.dcm")) as source:
        ...     print(source.kind, source.header.Modality, source.sha256[:8])
        dicom US bdd7f166
    """
    path = Path(path)
    with reading(path, errors=(ValueError,), remedy="give another path"):
        file = open_regular(path)
    with file:
        with reading(path):
            head = file.read(HEAD_BYTES)
        yield OpenedSource(path, kind_of(head, path), file, not head)


def kind_of(head: bytes, path: Path) -> Kind | None:
    """Tell what a file is from its first :data:`HEAD_BYTES` bytes, and from its name where these leave it open."""
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return "raster"
    if head[128:132] == b"DICM" or _has_elements(head) or path.suffix.lower() in DICOM_SUFFIXES:
        return "dicom"
    if (
        head[344:348] in (b"n+1\0", b"ni1\0")
        or head[4:8] == b"n+2\0"
        or (head[:2] == b"\x1f\x8b" and path.name.lower().endswith(".nii.gz"))
    ):
        return "nifti"
    return None


_VALUE_KINDS = frozenset({b"UL", b"UI", b"CS", b"DA", b"TM", b"LO", b"SH", b"PN", b"OB"})


def _has_elements(head: bytes) -> bool:
    """Tell whether a file begins with elements of DICOM, without the preamble that it should have."""
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    order: Literal["little", "big"] = "big" if head[0] == 0 else "little"
    if int.from_bytes(head[2:4], order) > _LAST_OF_GROUP:
        return False
    return head[4:6] in _VALUE_KINDS or (order == "little" and int.from_bytes(head[4:8], order) <= _LONGEST_FIRST)


_LAST_OF_GROUP = 0x0060
"""Element up to which one that begins an image has its number: character set, type, class, date."""
_LONGEST_FIRST = 128
"""Bytes of its value."""


def source_kind(path: Path) -> Kind | None:
    """Tell what a file is, or ``None``, also where there is nothing to read."""
    try:
        with open_regular(path) as file:
            return kind_of(file.read(HEAD_BYTES), path)
    except (OSError, SpecialFileError):
        return None


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    with open_source(path) as source:
        return source.sha256


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence what decoders say of a file's values, which may be a patient's name."""
    loggers = [logging.getLogger(name) for name in DECODERS]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
