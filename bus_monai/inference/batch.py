"""Segment many files, in a job that can be killed at any moment and started again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from bus_monai.bundle.models import model_key
from bus_monai.errors import UserError, writing
from bus_monai.inference.executors.local import Executor, LocalExecutor, Task
from bus_monai.inference.manifest import LEFT_OUT, Entry, Manifest, Outcome, forget_outputs
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.results import RESULTS_FILE, RUN_FILE, is_results, write_results, write_run
from bus_monai.inference.segment_file import SegmentFile, SegmentSettings
from bus_monai.inference.write_outputs import RERUN_HINT, OutputError, candidate_names, source_date
from bus_monai.io.atomic import check_writable, remove_partial_files
from bus_monai.io.opened import hash_file, open_source, quiet_decoders
from bus_monai.io.ours import (
    MANIFEST_FILE,
    Results,
    files_below,
    not_ours,
    output_below,
    results_above,
)
from bus_monai.sources.listing import find_sources, is_result, may_be_image, other_kind, what_else
from bus_monai.sources.readers import Readers


@dataclass(frozen=True)
class OwnResults:
    """The results of a job that is running.

    Args:
        manifest: of the job.
        out: its folder.
        kinds: what is written.
    """

    manifest: Manifest
    out: Path
    kinds: Sequence[str]

    def __contains__(self, path: object) -> bool:
        name = output_below(self.out, path, self.kinds) if isinstance(path, Path) else None
        return name is not None and self.manifest.has_name(name)


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
        """Key in the manifest: the path as text of Unicode, whatever bytes it has."""
        return _printable(str(_plain(self.path)))


def _plain(path: Path) -> Path:
    """Return a path without ``..``, so that a file goes by one name however it was given."""
    absolute = path.absolute()
    if ".." not in absolute.parts:
        return absolute
    plain = Path(os.path.normpath(absolute))
    try:
        return plain if plain.samefile(absolute) else absolute.resolve()  # behind a link .. is another folder
    except OSError:
        return plain


def find_items(inputs: Sequence[Path], out: Path, ours: Sequence[Container[Path]] = ()) -> Iterator[Item]:
    """Find the images of files and folders, without reading ahead; ``out`` is not searched.

    One folder is mirrored as it is, several each below its name. A file that is given twice, by whatever name, comes
    once.

    Args:
        inputs: files and folders.
        out: folder of the results.
        ours: what is a result and no image.
    """
    several = sum(source.is_dir() for source in inputs) > 1
    seen: set[str] = set()
    for source in inputs:
        root = source if source.is_dir() else source.parent
        prefix = PurePosixPath(_printable(source.resolve().name)) if several and source.is_dir() else PurePosixPath()
        for path in find_sources(source, leave_out=out, ours=ours):
            if len(inputs) > 1:
                real = os.path.realpath(path)
                if real in seen:
                    continue
                seen.add(real)
            yield Item(path, prefix / _printable(path.relative_to(root).as_posix()))


def segment_items(executor: Executor, segment: SegmentFile, manifest: Manifest, items: Iterator[Item]) -> Counter[str]:
    """Segment what the manifest does not know as done, record each, and remove what only an earlier content of it had.

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
            if entry.outcome.outputs:  # else, where this run ends first, they might pass for those of this content
                manifest.finish(entry, Outcome("new", outputs=entry.outcome.outputs))
            drawn.add(entry.path)
            yield Task(item.path, entry)

    def record(task: Task, outcome: Outcome) -> None:
        _remove_earlier(task.entry.outcome, outcome, segment.out)
        manifest.finish(task.entry, outcome)
        drawn.discard(task.entry.path)
        counts[outcome.state] += 1
        bar.update()

    with tqdm(desc="segmenting", unit="file") as bar:
        executor(segment, tasks_left(), record)
    return counts


def _is_finished(entry: Entry, path: Path, out: Path) -> bool:
    """Tell whether an earlier run did this very content and its outputs are still there."""
    known = entry.outcome
    if known.state not in ("done", *LEFT_OUT):
        return False
    try:
        return known.sha256 == hash_file(path) and all((out / name).is_file() for name in known.outputs)
    except UserError:
        return False


def _remove_earlier(known: Outcome, outcome: Outcome, out: Path) -> None:
    """Remove what the manifest lists of an item's earlier content, and its new one has not."""
    for name in sorted({*known.outputs} - {*outcome.outputs}):
        with writing(out / name, option="--out", kept=RERUN_HINT, raises=OutputError):
            (out / name).unlink(missing_ok=True)


def _printable(path: str) -> str:
    # a name may hold bytes that are no Unicode, which neither a table nor SQLite takes
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


DEFAULT_EXECUTOR = LocalExecutor()


def segment_inputs(
    inputs: Sequence[Path],
    out: Path,
    predictor: Predictor,
    settings: SegmentSettings,
    *,
    restart: bool = False,
    executor: Executor = DEFAULT_EXECUTOR,
) -> Counter[str]:
    """Segment files and folders, and write all results, ``results.csv`` and ``run.json``.

    An earlier run into the same folder is taken up where it ended; what failed is tried again.

    Args:
        inputs: files and folders.
        out: folder of the results, made where missing.
        predictor: the model.
        settings: as above.
        restart: forget the earlier run and remove its outputs.
        executor: where the files are segmented, which changes no result.

    Returns:
        How many files are ``done``, ``failed``, ``skipped`` and ``crowded`` (more lesions in a frame than are kept),
        those of earlier runs included, and how many ``lesions`` they hold.

    Raises:
        UserError: an input does not exist, there is nothing to segment, an earlier run had other settings, or
            something cannot be written.
    """
    missing = next((source for source in inputs if not os.path.lexists(source)), None)
    if missing is not None:
        raise UserError(f"'{missing}' does not exist: give files or folders of DICOM, PNG, JPEG or NIfTI files.")
    began = datetime.now(timezone.utc)
    clock = time.monotonic()
    _check_inputs(inputs)
    _check_replaced(inputs, out, settings.kinds)
    check_writable(out)
    if restart:
        forget_outputs(out)
    manifest = Manifest(out)
    now: Counter[str] = Counter()
    try:
        with writing(out, option="--out"):
            remove_partial_files(out)
        creation = _known_job(manifest, out, predictor, settings, began)
        try:
            with quiet_decoders(), Readers() as readers:
                job = SegmentFile(predictor, out, settings, creation, readers)
                own = [OwnResults(manifest, place, settings.kinds) for place in {out, out.absolute()}]
                now = segment_items(executor, job, manifest, find_items(inputs, out, own))
        finally:
            seconds = time.monotonic() - clock
            totals = write_results(manifest, out)
            told = {"engine": executor.name, "began": _dicom_time(began), "seconds": round(seconds, 2)}
            write_run(out, predictor, settings, totals, told)
    finally:
        manifest.close()
    if not now:
        raise UserError(f"'{inputs[0]}' holds no DICOM, PNG, JPEG or NIfTI file: {_what_instead(inputs[0])}.")
    return totals


def _check_inputs(inputs: Sequence[Path]) -> None:
    """Check that what is given by name may be an image at all.

    Raises:
        UserError: a file is a result of this package, or the only one is of a kind that is not read.
    """
    for source in inputs:
        if not source.is_file():
            continue
        if is_result(source, results_above(source.parent)):
            raise UserError(f"'{source}' is a result of bus_monai and no image: give the image.", path=source)
        if len(inputs) == 1 and not may_be_image(source):
            with open_source(source) as opened:
                if opened.kind is None and not opened.is_empty:
                    raise other_kind(opened)


def _check_replaced(inputs: Sequence[Path], out: Path, kinds: Sequence[str]) -> None:
    """Check that no file that an earlier run did not write would be replaced.

    Raises:
        UserError: one would.
    """
    if not out.is_dir():
        return
    has_manifest = (out / MANIFEST_FILE).exists()
    for name in (RESULTS_FILE, RUN_FILE):
        if os.path.lexists(out / name) and not (has_manifest and is_results(out / name)):
            raise not_ours(out / name, "--out")
    known = Results(out)
    foreign: dict[str, Path] = {}
    for path in files_below(out):
        name_of = output_below(out, path, kinds)
        if name_of is not None and path not in known:
            foreign[name_of.casefold()] = path
    for item in find_items(inputs, out, [known]) if foreign else ():
        for name in islice(candidate_names(item.relative), 2):
            if name.casefold() in foreign:
                raise not_ours(foreign[name.casefold()], "--out")


def _what_instead(folder: Path) -> str:
    """Return what to do about a folder without images: about the first file of another kind, if it is known."""
    for path in islice(sorted(folder.iterdir()) if folder.is_dir() else (), MAX_LOOKED_AT):
        if path.is_file() and not path.name.startswith("."):
            with suppress(UserError), open_source(path) as source:
                what = what_else(source)
                if what:
                    return f"'{path.name}' in it is {what}"
    return "give another folder"


MAX_LOOKED_AT = 100
"""Files of a folder without images that are looked into."""


def _known_job(
    manifest: Manifest, out: Path, predictor: Predictor, settings: SegmentSettings, began: datetime
) -> datetime:
    """Check that an earlier run was the same job; return its date, so that the same objects come out."""
    first = source_date() or began
    ours = {
        "model": model_key(predictor.model),
        "backend": f"{predictor.backend} {predictor.precision}",
        "tta": str(predictor.tta),
        "sensitivity": predictor.sensitivity,
        "write": ",".join(settings.kinds),
        "threshold": str(settings.threshold),
        "modality": settings.modality,
        "min_area": str(settings.min_area),
        "any_body_part": str(settings.any_body_part),
    }
    known = manifest.describe(creation=_dicom_time(first), **ours)
    other = next((key for key, value in ours.items() if known[key] != value), None)
    if other:
        raise UserError(
            f"'{out}' holds results with another {other} ({known[other][:40]}, now {ours[other][:40]}): give --restart "
            "to make them anew, or another --out."
        )
    return datetime.fromisoformat(known["creation"])


def _dicom_time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
