"""What a set of studies costs on a cluster: work of each part, its capacity, and the part that binds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from bus_monai.errors import UserError
from bus_monai.inference.executors.local import WORKER_THREADS

PER_FRAME = ("seg", "png")
"""Outputs that a file has for each frame; it has the others once."""


@dataclass(frozen=True)
class Units:
    """What one thing costs; times are seconds of one core.

    Args:
        decode: of a frame, by transfer syntax, reading its header among it.
        bytes_in: of a frame, by transfer syntax.
        predict: of a frame, by backend; ``gpu host`` is what a GPU node's cores do: PyTorch without the network.
        find: of a frame: components, measures and the row of the table.
        write: of a file, or a frame, by output.
        bytes_out: likewise.
        file: of a file: hash, kind, modality and manifest.
        start: of a process: imports, weights and graph.
        lesions: per frame, where it was measured: what is written and found depends on them.
    """

    decode: dict[str, float]
    bytes_in: dict[str, float]
    predict: dict[str, float]
    find: float
    write: dict[str, float]
    bytes_out: dict[str, float]
    file: float
    start: float
    lesions: float

    @classmethod
    def read(cls, path: Path) -> Units:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: the file cannot be read, or is something else.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            keys = ", ".join(field.name for field in fields(cls))
            raise UserError(f"The unit costs '{path}' cannot be read ({error}): give a JSON file of {keys}.") from error

    def save(self, path: Path) -> None:
        rounded = json.loads(json.dumps(asdict(self)), parse_float=lambda text: float(f"{float(text):.4g}"))
        path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Load:
    """What there is to do; ``mix`` is the share of each transfer syntax, of any sum, and ``None`` all alike."""

    studies: float = 1e6
    images: float = 19.0
    frames: float = 1.0
    mix: Mapping[str, float] | None = None
    outputs: tuple[str, ...] = ("seg", "sr", "overlay", "png")

    @property
    def files(self) -> float:
        return self.studies * self.images


@dataclass(frozen=True)
class Cluster:
    """Where it is done.

    Args:
        cores: of a node; a process is pinned to each.
        gpus: of a node; 0 for a node of cores alone.
        gpu_seconds: of a GPU for a frame, an input: none was measured.
        node_bytes: a second in and out of a node.
        shared_bytes: a second of the storage that all nodes share.
        latency: seconds that the storage lets a file wait.
    """

    cores: float = 32
    gpus: float = 0
    gpu_seconds: float = 0.010
    node_bytes: float = 1.25e9
    shared_bytes: float = 5e9
    latency: float = 0.050


@dataclass(frozen=True)
class Cost:
    """Of one file: seconds of a core by stage, seconds of a GPU, bytes in and out."""

    stages: dict[str, float]
    gpu: float
    bytes_in: float
    bytes_out: float

    @property
    def core(self) -> float:
        return sum(self.stages.values())

    @property
    def bytes(self) -> float:
        return self.bytes_in + self.bytes_out


def cost_of_file(units: Units, load: Load, cluster: Cluster) -> Cost:
    """Return what a file costs, with OpenVINO on cores and PyTorch on a node with GPUs.

    Raises:
        UserError: a transfer syntax or an output that has no unit cost.
    """
    mix = dict.fromkeys(units.decode, 1.0) if load.mix is None else load.mix
    _check("transfer syntax", mix, units.decode)
    _check("output", load.outputs, units.write)
    times = {name: load.frames if name in PER_FRAME else 1.0 for name in load.outputs}
    backend = "gpu host" if cluster.gpus else "openvino"

    def mixed(costs: Mapping[str, float]) -> float:
        return sum(share * costs[name] for name, share in mix.items()) / sum(mix.values())

    return Cost(
        stages={
            "decode": load.frames * mixed(units.decode),
            "inference": load.frames * units.predict[backend],
            "write": sum(count * units.write[name] for name, count in times.items()),
            "other": load.frames * units.find + units.file,
        },
        gpu=load.frames * cluster.gpu_seconds if cluster.gpus else 0.0,
        bytes_in=load.frames * mixed(units.bytes_in),
        bytes_out=sum(count * units.bytes_out[name] for name, count in times.items()),
    )


def hours(units: Units, load: Load, cluster: Cluster, nodes: float) -> tuple[float, str]:
    """Return the hours of the whole load on so many nodes, and the part that binds.

    Decode, inference and write of different files overlap, so that the cluster takes as long as its slowest part and
    not their sum. ``waiting`` is what the threads allow: each of a process's three is busy with one file from its
    beginning to its end, and waits for the storage and the GPU.
    """
    cost = cost_of_file(units, load, cluster)
    wire = cost.bytes / cluster.node_bytes
    parts = {
        f"cores ({max(cost.stages, key=lambda name: cost.stages[name])})": cost.core / (cluster.cores * nodes),
        "GPU": cost.gpu / (cluster.gpus * nodes) if cluster.gpus else 0.0,
        "waiting": (cost.core + cost.gpu + wire + cluster.latency) / (WORKER_THREADS * cluster.cores * nodes),
        "network of a node": wire / nodes,
        "shared storage": cost.bytes / cluster.shared_bytes,
    }
    binding = max(parts, key=lambda name: parts[name])
    return (load.files * parts[binding] + units.start) / 3600, binding


def nodes_for_a_day(units: Units, load: Load, cluster: Cluster) -> int | None:
    """Return the whole nodes that finish in a day, ``None`` where the shared storage does not let any number."""
    alone, _ = hours(units, load, replace(cluster, shared_bytes=float("inf")), 1)
    first = max(1, int(alone / 24))
    return next((n for n in range(first, first + 3) if hours(units, load, cluster, n)[0] <= 24), None)


def gpu_break_even(cost: Cost, cluster: Cluster) -> float:
    """Return the seconds of a GPU per file above which it, and not the cores beside it, binds."""
    return cost.core / cluster.cores * cluster.gpus


def _check(what: str, names: Iterable[str], known: Mapping[str, float]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UserError(f"The {what} '{unknown}' has no unit cost: use some of {', '.join(known)}, or measure it.")
