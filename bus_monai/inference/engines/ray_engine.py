"""The engine of many processes, on one machine or a cluster."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bus_monai.errors import UserError
from bus_monai.inference.engines.engine import Record, Task
from bus_monai.inference.engines.ray_session import ray_session
from bus_monai.inference.engines.ray_worker import RayWorker, Recipe
from bus_monai.inference.engines.turnstile import Turnstile
from bus_monai.inference.manifest import Outcome
from bus_monai.inference.model_key import model_key
from bus_monai.inference.segment_file import SegmentFile
from bus_monai.need_package import need_package

MOST_AT_ONCE = 16
"""Files that a worker is handed at once: more hide what handing them over costs, fewer are recorded earlier."""
ROUNDS = 4
"""Batches a worker at least, so that none waits long for the last."""

PATIENCE = 5
"""Seconds for Ray Data to end, which else waits for workers that are still starting."""


@dataclass(frozen=True)
class RayEngine:
    """Segment in workers of Ray Data (https://docs.ray.io/en/latest/data/data.html), each with a model of its own.

    A worker that dies is replaced, and what it had in hand is done again; a file of which several die has failed.
    See :class:`~bus_monai.inference.engines.engine.Engine`.

    Args:
        address: of a cluster, see :func:`~bus_monai.inference.engines.ray_session.ray_session`.
        workers: how many; by default one a core, or one a GPU where PyTorch segments and there are any.

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
        return min(MOST_AT_ONCE, math.ceil(files / (ROUNDS * workers)))

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
    """What the workers found, read in a thread of its own, since an interrupted iterator of Ray Data is lost."""

    def __init__(self, dataset: Any, files: int) -> None:
        self.futures: list[Future[Outcome]] = [Future() for _ in range(files)]
        self._closed = Event()
        self._thread = Thread(target=self._read, args=(dataset,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no further."""
        self._closed.set()
        self._thread.join(PATIENCE)

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
            f"Ray cannot go on ({reason}): mend the cluster and run the command again; what was done before is whole "
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
