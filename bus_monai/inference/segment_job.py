"""Files segmented one after the other, in a job that can be killed at any moment and started again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from bus_monai.errors import UserError
from bus_monai.inference.manifest import Entry, Manifest, Outcome
from bus_monai.inference.outputs import candidate_names
from bus_monai.inference.segment_file import SegmentFile, hash_file
from bus_monai.source_listing import find_sources

WORKERS = 3
"""Threads: while one file is segmented, the next is decoded and the last is written."""
AHEAD = 2 * WORKERS
"""Files that may be begun and not recorded yet, which bounds the memory."""


@dataclass(frozen=True)
class Item:
    """A file to segment.

    Args:
        path: its path.
        relative: as it is mirrored below the folder of outputs.
    """

    path: Path
    relative: PurePosixPath

    @property
    def key(self) -> str:
        """What identifies it in the manifest, text of Unicode whatever bytes the path has."""
        return _text(str(self.path.absolute()))


def find_items(inputs: Sequence[Path], out: Path) -> Iterator[Item]:
    """Find the images of files and folders, without reading ahead; ``out`` is not searched.

    One folder is mirrored as it is, several each below its name.
    """
    several = sum(source.is_dir() for source in inputs) > 1
    for source in inputs:
        root = source if source.is_dir() else source.parent
        prefix = PurePosixPath(_text(source.resolve().name)) if several and source.is_dir() else PurePosixPath()
        for path in find_sources(source, leave_out=out):
            yield Item(path, prefix / _text(path.relative_to(root).as_posix()))


def segment_items(segment: SegmentFile, manifest: Manifest, items: Iterator[Item]) -> Counter[str]:
    """Segment what the manifest does not know as done, and record each.

    Returns:
        How many are ``done``, ``failed``, ``skipped``, and ``kept`` from an earlier run.

    Raises:
        OutputError: nothing more can be written; what was done is recorded.
        KeyboardInterrupt: what was begun is finished and recorded.
    """
    counts: Counter[str] = Counter()
    pending: deque[tuple[Entry, Future[Outcome]]] = deque()
    bar = tqdm(desc="segmenting", unit="file")

    def record() -> None:
        entry, future = pending[0]
        outcome = future.result()
        pending.popleft()
        manifest.finish(entry, outcome)
        counts[outcome.state] += 1
        bar.update()

    with bar, ThreadPoolExecutor(WORKERS, thread_name_prefix="segment") as pool:
        try:
            for item in items:
                entry = manifest.enter(item.key, candidate_names(item.relative))
                if any(entry.path == begun.path for begun, _ in pending):
                    continue  # given twice, as itself and in its folder
                if _is_finished(entry, item.path, segment.out):
                    counts["kept"] += 1
                    bar.update()
                    continue
                pending.append((entry, pool.submit(segment, item.path, entry.name)))
                while len(pending) >= AHEAD:
                    record()
            while pending:
                record()
        except BaseException:
            _record_what_is_done(pending, manifest, counts)
            raise
    return counts


def _record_what_is_done(
    pending: deque[tuple[Entry, Future[Outcome]]], manifest: Manifest, counts: Counter[str]
) -> None:
    for _, future in pending:
        future.cancel()
    for entry, future in pending:
        if not future.cancelled() and future.exception() is None:
            manifest.finish(entry, future.result())
            counts[future.result().state] += 1


def _is_finished(entry: Entry, path: Path, out: Path) -> bool:
    """Tell whether an earlier run did this very content and its outputs are still there."""
    known = entry.outcome
    if known.state not in ("done", "skipped"):
        return False
    try:
        return known.sha256 == hash_file(path) and all((out / name).is_file() for name in known.outputs)
    except UserError:
        return False


def _text(path: str) -> str:
    # a name may hold bytes that are no Unicode, which neither a table nor SQLite takes
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
