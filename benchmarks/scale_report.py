"""What :mod:`scale` prints and draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from scale_model import A_FRAME, Cluster, Load, Units, cost_of_file, gpu_break_even, hours, nodes_for_a_day

NODES = (1, 2, 4, 8, 16, 32, 64, 128)
TERA = 1e12


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def unit_table(units: Units) -> str:
    rows = [[f"decode {name}", _ms(units.decode[name]), _kb(units.bytes_in[name]), "frame"] for name in units.decode]
    rows += [[f"inference, {name}", _ms(seconds), "", "frame"] for name, seconds in units.predict.items()]
    rows += [["lesions and their measures", _ms(units.find), "", "frame"]]
    rows += [
        [f"write {name}", _ms(seconds), _kb(units.bytes_out[name]), "frame" if name in A_FRAME else "file"]
        for name, seconds in units.write.items()
    ]
    rows += [["hash, header, manifest", _ms(units.file), "", "file"], ["start", _ms(units.start), "", "process"]]
    return table(["stage", "ms of a core", "kB", "of a"], rows)


def load_table(units: Units, load: Load, clusters: dict[str, Cluster]) -> str:
    rows = []
    for name, cluster in clusters.items():
        cost = cost_of_file(units, load, cluster)
        stages = (cost.decode, cost.predict, cost.write, cost.other, cost.core)
        rows.append([name, *(f"{load.files * seconds / 3600:,.0f}" for seconds in stages)])
    return table(["core-hours on a", "decode", "inference", "write", "other", "all"], rows)


def node_table(units: Units, load: Load, clusters: dict[str, Cluster]) -> str:
    rows = []
    for name, cluster in clusters.items():
        one, binding = hours(units, load, cluster, 1)
        nodes = nodes_for_a_day(units, load, cluster)
        rows.append([name, f"{load.files / one / 3600:,.0f}", binding, f"{one:,.1f}", str(nodes or "none suffices")])
    return table(["node", "files/s", "binds", "hours on one", "nodes for a day"], rows)


def curve_table(units: Units, load: Load, clusters: dict[str, Cluster]) -> str:
    cells = [[f"{n:.2f}, {part}" for n, part in (hours(units, load, c, k) for c in clusters.values())] for k in NODES]
    return table(["nodes", *clusters], [[str(count), *row] for count, row in zip(NODES, cells, strict=True)])


def draw(units: Units, load: Load, clusters: dict[str, Cluster], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for (name, cluster), mark in zip(clusters.items(), "os", strict=True):
        found = [hours(units, load, cluster, nodes) for nodes in NODES]
        axes.loglog(NODES, [time for time, _ in found], marker=mark, label=name)
        changes = [i for i in range(len(NODES)) if i == 0 or found[i][1] != found[i - 1][1]]
        # names of one curve stand above it, of the other below
        offset, side = ((5, 4), "left") if mark == "s" else ((-5, -9), "right")
        for i in changes:
            point = (NODES[i], found[i][0])
            axes.annotate(found[i][1], point, offset, textcoords="offset points", fontsize=7, ha=side)
    axes.axhline(24, color="grey", linewidth=0.8, linestyle="--", label="a day")
    axes.set(xlabel="nodes", ylabel=f"hours for {load.studies:,.0f} studies, {load.files:,.0f} files")
    axes.margins(x=0.2, y=0.1)
    axes.set_xticks(NODES, [str(nodes) for nodes in NODES])
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def print_report(units: Units, load: Load, cpu: Cluster, gpu: Cluster) -> None:
    clusters = {f"CPU node, {cpu.cores:g} cores": cpu, f"GPU node, {gpu.gpus:g} and {gpu.cores:g} cores": gpu}
    cost = cost_of_file(units, load, gpu)
    print(f"{load.files:,.0f} files of {load.frames:g} frames; unit costs with {units.lesions:.2f} lesions a frame.\n")
    print(unit_table(units), load_table(units, load, clusters), sep="\n\n", end="\n\n")
    print(
        f"In {load.files * cost.bytes_in / TERA:.1f} TB, out {load.files * cost.bytes_out / TERA:.2f} TB; in a day "
        f"{load.files * cost.bytes / 86400 / 1e6:,.0f} MB/s.\n"
    )
    print(node_table(units, load, clusters), end="\n\n")
    even = 1000 * gpu_break_even(cost, gpu) / load.frames
    print(
        f"A GPU beside {gpu.cores / gpu.gpus:g} cores binds from {even:.1f} ms a frame on; assumed, not measured, are "
        f"{1000 * gpu.gpu_seconds:g} ms.\n"
    )
    print(curve_table(units, load, clusters))


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _kb(size: float) -> str:
    return f"{size / 1000:.1f}"
