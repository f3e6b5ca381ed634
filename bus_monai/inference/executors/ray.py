"""The executor of many processes, on one machine or a cluster, by Ray."""

from __future__ import annotations

import logging
import math
import os
import pickle
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bus_monai.bundle.models import model_key
from bus_monai.errors import UserError, need_package, user_error
from bus_monai.inference.executors.local import Record, Task
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.segment_file import SegmentFile
from bus_monai.io.opened import quiet_decoders
from bus_monai.io.ours import MANIFEST_FILE


@contextmanager
def ray_session(address: str | None = None, workers: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start a Ray on this machine for the block; where Ray is connected already, use that.

    Args:
        address: of the cluster, ``HOST:PORT`` of its head, or ``auto``; without one ``RAY_ADDRESS`` counts, and without
            that a Ray is started here.
        workers: processes of a Ray that is started here; ``None`` for one per core.

    Raises:
        UserError: there is no cluster at that address, or Ray cannot be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    alone: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **alone)
    except Exception as error:  # a raylet that does not come up in time raises no narrower one
        reason = str(error).partition("\n")[0].rstrip(".")
        if address == "local":
            raise UserError(f"Ray cannot be started here ({reason}): fix that, or use --engine local.") from error
        raise UserError(
            f"No Ray cluster answers at '{address}' ({reason}): start one with 'ray start --head', or fix "
            "--ray-address or RAY_ADDRESS."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


MAX_TRIES = 3
"""Workers that may die of a file before it counts as broken."""


@dataclass(frozen=True)
class Recipe:
    """State that makes a worker the same as the process that started the job.

    Args:
        segment: the pickled :class:`~bus_monai.inference.segment_file.SegmentFile`; unpickled, it loads its model.
        out: folder of all outputs.
        key: of its model, see :func:`~bus_monai.bundle.models.model_key`.
        folder: that relative paths start from.
    """

    segment: bytes
    out: Path
    key: str
    folder: Path


class RayWorker:
    """Segment files in batches, with one model.

    Args:
        recipe: of the function that segments one.
        turnstile: handle of the actor that is a :class:`~bus_monai.inference.executors.ray.Turnstile`.
    """

    def __init__(self, recipe: Recipe, turnstile: Any) -> None:
        self._turnstile = turnstile
        self._error: UserError | None = None
        # where the folder is missing here no path starts from it, or the check of the results' folder says so
        with suppress(OSError):
            os.chdir(recipe.folder)
        try:
            self._segment = _segment_file(recipe)
        except UserError as error:
            self._error = error

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """Segment a batch.

        Args:
            batch: ``file``, each a pickled (number, path, name).

        Returns:
            ``found``, each a pickled (number, what): an outcome, the error that ends the job, or ``None`` where the
            file was not begun.
        """
        with quiet_decoders():  # Ray keeps in files what its workers print
            return {"found": [self._one(*pickle.loads(file)) for file in batch["file"]]}  # noqa: S301 (the executor wrote it)

    def _one(self, number: int, path: Path, name: str) -> bytes:
        import ray

        tries = ray.get(self._turnstile.enter.remote(number))
        what: Outcome | UserError | None
        if tries == 0:
            what = None
        elif self._error is not None:
            what = self._error
        elif tries > MAX_TRIES:
            what = Outcome("failed", f"'{path}' ended the process that segmented it {MAX_TRIES} times.")
        else:
            try:
                what = self._segment(path, name)
            except UserError as error:
                what = self._error = error
        if 0 < tries <= MAX_TRIES:  # a file given up stays inside: when its batch is done again, it is not tried again
            self._turnstile.leave.remote(number)
        return pickle.dumps((number, what))


def _segment_file(recipe: Recipe) -> SegmentFile:
    here = f"the worker on '{platform.node()}'"
    if not (recipe.out / MANIFEST_FILE).is_file():
        raise UserError(
            f"'{recipe.out}' is not there for {here}: give an --out on storage that all machines see at the same path."
        )
    try:
        segment: SegmentFile = pickle.loads(recipe.segment)  # noqa: S301 (the executor wrote it)
        same = model_key(segment.predictor.model) == recipe.key
    except Exception as error:
        cause = user_error(error)
        if cause is None and not isinstance(error, OSError):
            raise
        raise UserError(f"The model cannot be loaded by {here}: {cause or error}") from error
    if not same:
        raise UserError(f"The model or the version of bus_monai is another for {here}: install the same everywhere.")
    return segment


class Turnstile:
    """Lets files in one by one, by number, and after :meth:`close` none but those that it has let in before."""

    def __init__(self) -> None:
        self._inside: Counter[int] = Counter()
        self._seen: set[int] = set()
        self._closed = False

    def enter(self, number: int) -> int:
        """Let a file in.

        Returns:
            How often it has entered since it last left, which is more than once where its worker died; 0 where the
            turnstile is closed and the file stays out.
        """
        if self._closed and number not in self._seen:
            return 0
        self._seen.add(number)
        self._inside[number] += 1
        return self._inside[number]

    def leave(self, number: int) -> None:
        """Note that a file has been segmented."""
        del self._inside[number]

    def close(self) -> set[int]:
        """Let no other file in, and return those that ever were."""
        self._closed = True
        return self._seen


MAX_BATCH_FILES = 16
"""Files that a worker is handed at once: more hide what handing them over costs, fewer are recorded earlier."""
MIN_BATCHES_PER_WORKER = 4
"""Batches per worker at least, so that none waits long for the last."""

SHUTDOWN_TIMEOUT_S = 5
"""Seconds for Ray Data to end, which else waits for workers that are still starting."""


@dataclass(frozen=True)
class RayExecutor:
    """Segment in workers of Ray Data (https://docs.ray.io/en/latest/data/data.html), each with a model of its own.

    A worker that dies is replaced, and what it had in hand is done again; a file of which several die has failed.
    See :class:`~bus_monai.inference.executors.local.Executor`.

    Args:
        address: of a cluster, see :func:`~bus_monai.inference.executors.ray.ray_session`.
        workers: how many; by default one per core, or one per GPU where PyTorch segments and there are any.

    Raises:
        UserError: Ray is not installed.
    """

    address: str | None = None
    workers: int | None = None
    name: str = "ray"

    def __post_init__(self) -> None:
        need_package("ray")

    def __call__(self, segment: SegmentFile, tasks: Iterator[Task], record: Record) -> None:
        """Segment every file and record each as it comes back; all tasks are drawn before the first.

        Raises:
            UserError: a worker cannot load the model or write the results, there is no such cluster, or it breaks down.
        """
        todo = list(tasks)
        if not todo:
            return
        with ray_session(self.address, self.workers):
            import ray

            turnstile = _start_turnstile()
            found = _Found(self._dataset(segment, todo, turnstile), len(todo))
            left = dict(zip(found.futures, todo, strict=True))
            try:
                for future in as_completed(found.futures):
                    record(left[future], future.result())
                    del left[future]
            except BaseException:
                for number in sorted(ray.get(turnstile.close.remote())):
                    future = found.futures[number]
                    if future in left and future.exception() is None:
                        record(left[future], future.result())
                raise
            finally:
                found.close()
                ray.kill(turnstile)

    @staticmethod
    def at_once(files: int, workers: int) -> int:
        """Return how many files a worker is handed at once, and are recorded together."""
        return min(MAX_BATCH_FILES, math.ceil(files / (MIN_BATCHES_PER_WORKER * workers)))

    def _dataset(self, segment: SegmentFile, todo: list[Task], turnstile: Any) -> Any:
        import ray

        there = ray.cluster_resources()
        device = "GPU" if segment.predictor.backend == "torch" and "GPU" in there else "CPU"
        workers = min(self.workers or int(there.get(device, 1)), len(todo))
        blocks = math.ceil(len(todo) / self.at_once(len(todo), workers))
        files = [{"file": pickle.dumps((number, task.path, task.entry.name))} for number, task in enumerate(todo)]
        recipe = Recipe(pickle.dumps(segment), segment.out, model_key(segment.predictor.model), Path.cwd())
        return ray.data.from_items(files, override_num_blocks=blocks).map_batches(
            RayWorker,
            fn_constructor_args=(recipe, turnstile),
            batch_size=None,  # a block, which is what one worker is handed at once
            compute=ray.data.ActorPoolStrategy(size=workers),
            **{f"num_{device.lower()}s": 1},
        )


class _Found:
    """Results of the workers, read in a thread of its own, since an interrupted iterator of Ray Data is lost."""

    def __init__(self, dataset: Any, files: int) -> None:
        self.futures: list[Future[Outcome]] = [Future() for _ in range(files)]
        self._closed = Event()
        self._thread = Thread(target=self._read, args=(dataset,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no further."""
        self._closed.set()
        self._thread.join(SHUTDOWN_TIMEOUT_S)

    def _read(self, dataset: Any) -> None:
        error: Exception | None = None
        try:
            for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
                for found in batch["found"]:
                    self._tell(*pickle.loads(found))  # noqa: S301 (our own workers wrote it)
                if self._closed.is_set():
                    break
        except Exception as caught:  # Ray has many
            error = caught
        reason = str(error).strip().rpartition("\n")[2].rstrip(".")
        broken = UserError(
            f"Ray cannot go on ({reason}): fix the cluster and run the command again; what was done before is whole "
            "and is not done again."
        )
        broken.__cause__ = error
        for future in self.futures:
            if not future.done():
                future.set_exception(broken)

    def _tell(self, number: int, what: Outcome | UserError | None) -> None:
        if isinstance(what, Outcome):
            self.futures[number].set_result(what)
        elif what is not None:
            self.futures[number].set_exception(what)


def _start_turnstile() -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # beside the process that asks, so that the end of another machine does not end the job
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Turnstile).options(num_cpus=0, scheduling_strategy=here).remote()
