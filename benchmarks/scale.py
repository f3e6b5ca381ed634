"""What a million breast-ultrasound studies cost with ``bus-monai segment``, from unit costs.

    python benchmarks/scale.py                                   # from the unit costs beside this script
    python benchmarks/scale.py --measure phantoms --validate 100 # from this machine's, held against a real run
    python benchmarks/scale.py --measure STUDY/*.dcm --mix ""    # from your files, in the mix that they are in

Times are of the processor, so that a busy machine changes them little; wall times are printed beside them where the
command is run. A GPU's seconds per frame are an input, ``--gpu-ms``: none was measured. What is found and written
depends on the lesions per frame that the model finds.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from scale_model import PER_FRAME, Cluster, Load, Units, cost_of_file, gpu_break_even, hours, nodes_for_a_day

from bus_monai.errors import UserError

UNITS = Path(__file__).with_name("scale_units.json")
MIX = "JPEG baseline=0.7,uncompressed=0.2,RLE=0.08,JPEG 2000=0.02"
NODES = (1, 2, 4, 8, 16, 32, 64, 128)


def parse_mix(text: str, units: Units) -> dict[str, float]:
    """Read ``NAME=SHARE,...``; an empty text is the syntaxes of the unit costs, alike.

    Raises:
        UserError: a share is no number above 0.
    """
    if not text:
        return dict.fromkeys(units.decode, 1.0)
    try:
        mix = {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        mix = {}
    if not mix or min(mix.values()) <= 0:
        raise UserError(f"--mix is '{text}': give shares above 0, as in '{MIX}'.")
    return mix


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    load, cluster = Load(), Cluster()
    parser.add_argument("--units", type=Path, default=UNITS, help="JSON of unit costs; with --measure it is written")
    parser.add_argument("--measure", nargs="+", metavar="FILE", help="files to measure on, or the word phantoms")
    parser.add_argument("--files", type=int, default=16, help="phantoms to measure on")
    parser.add_argument("--size", type=int, nargs=2, default=(768, 1024), help="height and width of phantoms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="lite_unet", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--validate", type=int, default=0, metavar="N", help="also run the command on N phantoms")
    parser.add_argument("--plot", type=Path, help="PNG of the curve")
    parser.add_argument("--mix", default=MIX, help="shares of transfer syntaxes; empty for all alike")
    parser.add_argument("--write", default=",".join(load.outputs), help="outputs, as in bus-monai segment")
    for option, default, words in (
        ("studies", load.studies, None),
        ("images", load.images, "files per study"),
        ("frames", load.frames, "a file"),
        ("cores", cluster.cores, "of a CPU node"),
        ("gpu-cores", 16, "of a GPU node"),
        ("gpus", 1, "of a GPU node"),
        ("gpu-ms", 1000 * cluster.gpu_seconds, "of a GPU for a frame"),
        ("node-gbit", cluster.node_bytes * 8e-9, "network of a node"),
        ("storage-gbit", cluster.shared_bytes * 8e-9, "shared storage"),
        ("latency-ms", 1000 * cluster.latency, "of the storage, a file"),
    ):
        parser.add_argument(f"--{option}", type=float, default=default, help=words)
    return parser.parse_args()


def measured(words: argparse.Namespace, folder: Path) -> tuple[Units, str]:
    """Measure the unit costs and keep them; return them and, where asked for, a table of a run."""
    from scale_measure import measure, pin, write_files

    size = tuple(words.size)
    generated = words.measure == ["phantoms"]
    files = write_files(folder / "files", words.files, size) if generated else [Path(file) for file in words.measure]
    pin(1)
    units = measure(files, words.model, words.rounds)
    units.save(words.units)
    if not words.validate:
        return units, ""
    return units, validate(units, write_files(folder / "many", words.validate, size), words.model, folder)


def validate(units: Units, files: Sequence[Path], spec: str, folder: Path) -> str:
    """Run the command on files of all syntaxes alike, and return a table of predicted and measured seconds."""
    from scale_measure import CORES, pin, run_command

    cost = cost_of_file(units, Load(), Cluster()).core
    processor = units.start + len(files) * cost
    rows = []
    for count in range(1, min(2, len(CORES)) + 1):
        pin(count)
        wall, used = run_command(files, spec, folder / f"cores{count}")
        shown = (processor, used, used / processor, units.start + len(files) * cost / count, wall, used / wall)
        rows.append([str(count), *(f"{value:.2f}" for value in shown)])
    head = ["processor, predicted s", "measured s", "measured/predicted", "clock, predicted s", "measured s"]
    return table(["cores", *head, "cores that the run got"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def unit_table(units: Units) -> str:
    rows = [(f"decode {name}", units.decode[name], units.bytes_in[name], "frame") for name in units.decode]
    rows += [(f"inference, {name}", seconds, None, "frame") for name, seconds in units.predict.items()]
    rows += [("lesions and their measures", units.find, None, "frame")]
    for name, seconds in units.write.items():
        rows.append((f"write {name}", seconds, units.bytes_out[name], "frame" if name in PER_FRAME else "file"))
    rows += [("hash, header, manifest", units.file, None, "file"), ("start", units.start, None, "process")]
    return table(
        ["stage", "ms of a core", "kB", "of a"],
        [[name, f"{1000 * s:.1f}", "" if b is None else f"{b / 1000:.1f}", of] for name, s, b, of in rows],
    )


def print_report(units: Units, load: Load, clusters: dict[str, Cluster]) -> None:
    """Print every table of ``docs/scale.md`` but that of a run; of the two clusters the last has GPUs."""
    costs = {name: cost_of_file(units, load, cluster) for name, cluster in clusters.items()}
    gpu, cost = list(clusters.values())[-1], list(costs.values())[-1]
    print(
        f"{load.files:,.0f} files of {load.frames:g} frames; unit costs with {units.lesions:.2f} lesions per frame.\n"
    )
    print(unit_table(units), end="\n\n")
    seconds = {name: [*cost.stages.values(), cost.core] for name, cost in costs.items()}
    rows = [[name, *(f"{load.files * value / 3600:,.0f}" for value in values)] for name, values in seconds.items()]
    print(table(["core-hours on a", *cost.stages, "all"], rows), end="\n\n")
    print(
        f"In {load.files * cost.bytes_in / 1e12:.1f} TB, out {load.files * cost.bytes_out / 1e12:.2f} TB; in a day "
        f"{load.files * cost.bytes / 86400 / 1e6:,.0f} MB/s.\n"
    )
    rows = []
    for name, cluster in clusters.items():
        one, binding = hours(units, load, cluster, 1)
        nodes = nodes_for_a_day(units, load, cluster)
        rows.append([name, f"{load.files / one / 3600:,.0f}", binding, f"{one:,.1f}", str(nodes or "none suffices")])
    print(table(["node", "files/s", "binds", "hours on one", "nodes for a day"], rows), end="\n\n")
    even = 1000 * gpu_break_even(cost, gpu) / load.frames
    print(
        f"A GPU beside {gpu.cores / gpu.gpus:g} cores binds from {even:.1f} ms per frame; assumed, not measured, are "
        f"{1000 * gpu.gpu_seconds:g} ms.\n"
    )
    curves = [[hours(units, load, cluster, nodes) for cluster in clusters.values()] for nodes in NODES]
    cells = [[str(nodes), *(f"{n:.2f}, {part}" for n, part in row)] for nodes, row in zip(NODES, curves, strict=True)]
    print(table(["nodes", *clusters], cells))


def draw(units: Units, load: Load, clusters: dict[str, Cluster], path: Path) -> None:
    """Draw the hours by the number of nodes; a part is named where it begins to bind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for (name, cluster), mark in zip(clusters.items(), "os", strict=True):
        found = [hours(units, load, cluster, nodes) for nodes in NODES]
        axes.loglog(NODES, [time for time, _ in found], marker=mark, label=name.partition(",")[0] + "s")
        # names of one curve stand above it, of the other below
        offset, side = ((5, 4), "left") if mark == "s" else ((-5, -9), "right")
        for i, (time, part) in enumerate(found):
            if i == 0 or part != found[i - 1][1]:
                axes.annotate(part, (NODES[i], time), offset, textcoords="offset points", fontsize=7, ha=side)
    axes.axhline(24, color="gray", linewidth=0.8, linestyle="--", label="a day")
    axes.set(xlabel="nodes", ylabel=f"hours for {load.studies:,.0f} studies, {load.files:,.0f} files")
    axes.margins(x=0.2, y=0.1)
    axes.set_xticks(NODES, [str(nodes) for nodes in NODES])
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    words = options()
    try:
        with tempfile.TemporaryDirectory() as name:
            units, run = measured(words, Path(name)) if words.measure else (Units.read(words.units), "")
        outputs = tuple(word for word in words.write.split(",") if word)
        load = Load(words.studies, words.images, words.frames, parse_mix(words.mix, units), outputs)
        cpu = Cluster(words.cores, 0, 0, words.node_gbit * 1.25e8, words.storage_gbit * 1.25e8, words.latency_ms / 1000)
        gpu = replace(cpu, cores=words.gpu_cores, gpus=words.gpus, gpu_seconds=words.gpu_ms / 1000)
        clusters = {f"CPU node, {cpu.cores:g} cores": cpu, f"GPU node, {gpu.gpus:g} and {gpu.cores:g} cores": gpu}
        print_report(units, load, clusters)
        if run:
            print(f"\n{run}")
        if words.plot:
            draw(units, load, clusters, words.plot)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
