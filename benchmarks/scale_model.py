"""What a set of studies costs on a cluster: work of each part, its capacity, and the part that binds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias

from bus_monai.errors import UserError
from bus_monai.inference.executors.local import WORKERS

Kind: TypeAlias = Literal["cpu", "gpu"]
A_FRAME = ("seg", "png")
"""Outputs that a file has for each frame; it has the others once."""
DAY = 24.0


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
        lesions: a frame, where it was measured: what is written and found depends on them.
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
    """What there is to do.

    Args:
        studies: how many.
        images: files a study.
        frames: a file, above 1 for cines.
        mix: share of each transfer syntax; of any sum above 0.
        outputs: of ``--write``.
    """

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
    """Where it is done; every figure is the reader's to change.

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
    """Of one file: seconds of a core by stage, seconds of a GPU, bytes."""

    decode: float
    predict: float
    write: float
    other: float
    gpu: float
    bytes_in: float
    bytes_out: float

    @property
    def core(self) -> float:
        return self.decode + self.predict + self.write + self.other

    @property
    def bytes(self) -> float:
        return self.bytes_in + self.bytes_out

    @property
    def stage(self) -> str:
        """The dearest of what the cores do, findings and manifest being one."""
        stages = {"decode": self.decode, "inference": self.predict, "write": self.write, "other": self.other}
        return max(stages, key=lambda name: stages[name])


def cost_of_file(units: Units, load: Load, cluster: Cluster, backend: str = "openvino") -> Cost:
    """Return what a file costs; on a node with GPUs the network runs there.

    Raises:
        UserError: a transfer syntax, a backend or an output that has no unit cost.
    """
    mix = dict.fromkeys(units.decode, 1.0) if load.mix is None else load.mix
    whole = sum(mix.values())
    backend = "gpu host" if cluster.gpus else backend
    _check("transfer syntax", mix, units.decode)
    _check("output", load.outputs, units.write)
    _check("backend", (backend,), units.predict)
    times = {name: load.frames if name in A_FRAME else 1.0 for name in load.outputs}
    return Cost(
        decode=load.frames * sum(share * units.decode[name] for name, share in mix.items()) / whole,
        predict=load.frames * units.predict[backend],
        write=sum(count * units.write[name] for name, count in times.items()),
        other=load.frames * units.find + units.file,
        gpu=load.frames * cluster.gpu_seconds if cluster.gpus else 0.0,
        bytes_in=load.frames * sum(share * units.bytes_in[name] for name, share in mix.items()) / whole,
        bytes_out=sum(count * units.bytes_out[name] for name, count in times.items()),
    )


def seconds_a_file(cost: Cost, cluster: Cluster, nodes: float = 1) -> dict[str, float]:
    """Return, for each part, how long it takes for a file where all nodes work, others waiting for nothing.

    Decode, inference and write of different files overlap, so that the cluster takes as long as its slowest part and
    not their sum. ``waiting`` is what the threads allow: each of a process's three is busy with one file from its
    beginning to its end, and waits for the storage and the GPU.
    """
    wire = cost.bytes / cluster.node_bytes
    elapsed = cost.core + cost.gpu + wire + cluster.latency
    return {
        f"cores ({cost.stage})": cost.core / (cluster.cores * nodes),
        "GPU": cost.gpu / (cluster.gpus * nodes) if cluster.gpus else 0.0,
        "waiting": elapsed / (WORKERS * cluster.cores * nodes),
        "network of a node": wire / nodes,
        "shared storage": cost.bytes / cluster.shared_bytes,
    }


def hours(units: Units, load: Load, cluster: Cluster, nodes: float, backend: str = "openvino") -> tuple[float, str]:
    """Return the hours of the whole load on so many nodes, and the part that binds."""
    parts = seconds_a_file(cost_of_file(units, load, cluster, backend), cluster, nodes)
    binding = max(parts, key=lambda name: parts[name])
    return (load.files * parts[binding] + units.start) / 3600, binding


def nodes_for_a_day(units: Units, load: Load, cluster: Cluster, backend: str = "openvino") -> float | None:
    """Return the whole nodes that finish in a day, ``None`` where the shared storage does not let any number."""
    least, _ = hours(units, load, replace(cluster, shared_bytes=float("inf")), 1, backend)
    first = max(1, int(least / DAY))
    for nodes in range(first, first + 3):
        if hours(units, load, cluster, nodes, backend)[0] <= DAY:
            return nodes
    return None


def gpu_break_even(cost: Cost, cluster: Cluster) -> float:
    """Return the seconds of a GPU a file above which it, and not the cores beside it, binds."""
    return cost.core / cluster.cores * cluster.gpus


def _check(what: str, names: Iterable[str], known: Mapping[str, float]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UserError(f"The {what} '{unknown}' has no unit cost: use some of {', '.join(known)}, or measure it.")
