"""Files segmented by any engine, in a job that can be killed at any moment and started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from bus_monai.errors import UserError
from bus_monai.inference.engines.engine import Engine, Task
from bus_monai.inference.manifest import Entry, Manifest, Outcome
from bus_monai.inference.outputs import candidate_names
from bus_monai.inference.segment_file import SegmentFile, hash_file
from bus_monai.source_listing import find_sources


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


def segment_items(engine: Engine, segment: SegmentFile, manifest: Manifest, items: Iterator[Item]) -> Counter[str]:
    """Segment what the manifest does not know as done, and record each.

    Returns:
        How many are ``done``, ``failed``, ``skipped``, and ``kept`` from an earlier run.

    Raises:
        OutputError: nothing more can be written; what was done is recorded.
        KeyboardInterrupt: what was begun is finished and recorded.
    """
    counts: Counter[str] = Counter()
    drawn: set[str] = set()

    def tasks_left() -> Iterator[Task]:
        for item in items:
            entry = manifest.enter(item.key, candidate_names(item.relative))
            if entry.path in drawn:
                continue  # given twice, as itself and in its folder
            if _is_finished(entry, item.path, segment.out):
                counts["kept"] += 1
                bar.update()
                continue
            drawn.add(entry.path)
            yield Task(item.path, entry)

    def record(task: Task, outcome: Outcome) -> None:
        manifest.finish(task.entry, outcome)
        drawn.discard(task.entry.path)
        counts[outcome.state] += 1
        bar.update()

    with tqdm(desc="segmenting", unit="file") as bar:
        engine(segment, tasks_left(), record)
    return counts


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
