"""What this package wrote, by a manifest or a mark in the file: it is never input, and nothing else is replaced."""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from bus_monai.errors import UserError
from bus_monai.io.opened import SpecialFileError, open_regular

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

MANIFEST_FILE = "manifest.sqlite"
"""Of a folder of results of ``segment``: the state of each item."""
OUTPUT_SUFFIXES = {
    "seg": "_seg.dcm",
    "sr": "_sr.dcm",
    "overlay": "_overlay.png",
    "png": "_mask.png",
    "nifti": "_mask.nii.gz",
    "sc": "_sc.dcm",
    "gsps": "_gsps.dcm",
}
"""Kinds of outputs of ``segment``, and the suffix of each."""
RESEARCH = "RESEARCH, not for clinical use"
"""On every picture, page and object."""
MARK = "bus_monai"
"""What a file says that wrote it, where no manifest lists it."""
PNG_MARK = {"Software": MARK}
"""In a PNG."""
MARKED_ENDINGS = (".png", ".nii", ".nii.gz")
"""Of the names of such files that might be taken for images."""
PAGE_MARK = f" · {MARK}</title>".encode()
SVG_MARK = f"<dc:title>{MARK}</dc:title>".encode()
TEX_MARK = f"% {MARK}\n".encode()
_TABLE_MARK = re.compile(rb'\s*\{\s*"' + MARK.encode() + rb'"\s*:')
"""Of JSON."""
LABEL_FILES = ("datastore_v2.json", ".lock")
"""Beside the images of ``label``, and of MONAI Label."""
LABEL_FOLDERS = ("labels", ".bus_monai")
_FRAME = re.compile(r"_frame\d+$")
HEAD_BYTES = 4096
KNOWN_COLUMNS = 4


def output_name(path: str, kinds: Iterable[str] = tuple(OUTPUT_SUFFIXES)) -> str | None:
    """Return the name of the item that an output of ``segment`` is of; ``None`` where it is named like none of a kind.

    Example:
        >>> output_name("a/cine_frame007_mask.png"), output_name("a/b.png")
        ('a/cine', None)
    """
    suffix = next((OUTPUT_SUFFIXES[kind] for kind in kinds if path.endswith(OUTPUT_SUFFIXES[kind])), None)
    return None if suffix is None else _FRAME.sub("", path.removesuffix(suffix))


class Results:
    """The outputs that the manifest of a folder knows, those included that it was killed before listing.

    Args:
        folder: that may hold a manifest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names, kinds = _names(folder / MANIFEST_FILE)
        # upper and lower case are one in the manifest, too
        self.names = frozenset(name.casefold() for name in names)
        self.kinds = kinds

    def __contains__(self, path: object) -> bool:
        name = output_below(self.folder, path, self.kinds) if self.names and isinstance(path, Path) else None
        return name is not None and name.casefold() in self.names


def output_below(folder: Path, path: Path, kinds: Iterable[str]) -> str | None:
    """Return the name of the item below ``folder`` that ``path`` would be an output of, if it is named like one."""
    if not path.is_relative_to(folder):
        return None
    relative = path.relative_to(folder).as_posix()
    return output_name(relative.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), kinds)


def is_manifest(path: Path) -> bool:
    """Tell whether a file is a manifest of ours, or one that is being made."""
    try:
        with closing(_open(path)) as base:
            tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:
        return False
    return not tables or {"job", "items"} <= tables


def _names(path: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of a manifest's items, and the kinds of outputs that were written."""
    try:
        if not path.is_file():
            return [], ()
        with closing(_open(path)) as base:
            names = [name for (name,) in base.execute("SELECT name FROM items")]
            words = [word for (word,) in base.execute("SELECT value FROM job WHERE key = 'write'")]
    except (OSError, sqlite3.DatabaseError):
        return [], ()
    kinds = tuple(kind for kind in OUTPUT_SUFFIXES if words and kind in words[0].split(","))
    return names, kinds or tuple(OUTPUT_SUFFIXES)


def _open(path: Path) -> sqlite3.Connection:
    # a run that was killed leaves a journal beside it, which only a connection that may write takes up
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=1)


def results_above(folder: Path) -> list[Results]:
    """Return the results of jobs whose folder is ``folder`` or one above it."""
    real = folder.absolute()
    return [results for place in (real, *real.parents) if (results := Results(place)).names]


def is_labels_folder(folder: Path) -> bool:
    """Tell whether a folder is the one of labels, or of their versions, beside the images of ``label``."""
    return folder.name in LABEL_FOLDERS and all((folder.parent / name).exists() for name in LABEL_FILES)


def png_mark() -> PngInfo:
    """Return what marks a PNG as ours."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for word, text in PNG_MARK.items():
        info.add_text(word, text)
    return info


def is_marked(path: Path) -> bool:
    """Tell whether a file says in its first bytes that this package wrote it."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
            if head.startswith(b"\x1f\x8b"):
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error, SpecialFileError):
        return False
    if head.startswith(b"\x89PNG"):
        return b"Software\0" + MARK.encode() in head
    if head[344:347] in (b"n+1", b"ni1"):
        return head[148:228].startswith(MARK.encode())
    return any(mark in head for mark in (PAGE_MARK, SVG_MARK, TEX_MARK)) or _TABLE_MARK.match(head) is not None


def check_replaced(paths: Iterable[Path], *, option: str, columns: Iterable[str] = ()) -> None:
    """Check, before anything is written, that what will be replaced is ours.

    Args:
        paths: that will be written.
        option: that names their folder.
        columns: first lines of tables that are ours.

    Raises:
        UserError: a file is there that this package did not write.
    """
    headers = tuple(columns)
    for path in paths:
        if os.path.lexists(path) and not (is_marked(path) or first_line(path) in headers):
            raise not_ours(path, option)


def check_run_files(
    folder: str | Path,
    *,
    tables: Mapping[str, Sequence[str]] = MappingProxyType({}),
    beside: Iterable[str] = (),
    marked: Iterable[str] = (),
    option: str = "output_dir",
) -> None:
    """Check, before a run begins, that what it will replace in its folder is from an earlier one.

    Args:
        folder: of the run.
        tables: file names of tables, and their columns.
        beside: file names of what has no mark: ours where one of the tables is beside.
        marked: file names of what has a mark: pages, and figures, beside whose PNG there is an SVG.
        option: that names the folder.

    Raises:
        UserError: a file is there that this package did not write.
    """
    folder = Path(folder)
    paths = {folder / name: columns for name, columns in tables.items()}
    there = [path for path in paths if os.path.lexists(path)]
    foreign = [path for path in there if not is_table_of(path, paths[path])]
    if not there:
        foreign += [folder / name for name in beside if os.path.lexists(folder / name)]
    if foreign:
        raise not_ours(foreign[0], option)
    for path in (folder / name for name in marked):
        check_replaced([path, path.with_suffix(".svg")] if path.suffix == ".png" else [path], option=option)


def is_table_of(path: Path, columns: Sequence[str]) -> bool:
    """Tell whether a file begins as a table (CSV) with these columns, by the first few: later versions add some."""
    return f"{first_line(path)},".startswith("".join(f"{column}," for column in columns[:KNOWN_COLUMNS]))


def not_ours(path: Path, option: str) -> UserError:
    """Return what to say of a file that would be replaced and is not from an earlier run."""
    return UserError(
        f"'{path}' is not from an earlier run and would be replaced: move it away, or change {option}.",
        path=path,
        key=option,
    )


def first_line(path: Path) -> str:
    """Return the first line of a text, nothing of what is none."""
    try:
        with open_regular(path) as file:
            return file.readline(HEAD_BYTES).decode().strip()
    except (OSError, ValueError, SpecialFileError):
        return ""


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, those of hidden folders too; links are not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place) / name
