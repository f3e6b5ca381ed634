"""What a million breast-ultrasound studies cost with ``bus-monai segment``, from unit costs.

    python benchmarks/scale.py                                   # from the unit costs beside this script
    python benchmarks/scale.py --measure phantoms --validate 100 # from this machine's, held against a real run
    python benchmarks/scale.py --measure STUDY/*.dcm --mix ""    # from your files, in the mix that they are in

Times are of the processor, so that a busy machine changes them little; wall times are printed beside them where the
command is run. A GPU's seconds a frame are an input, ``--gpu-ms``: none was measured. What is found and written depends
on the lesions a frame that the model finds.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scale_model import Cluster, Load, Units, cost_of_file
from scale_report import draw, print_report, table

from bus_monai.errors import UserError

UNITS = Path(__file__).with_name("scale_units.json")
MIX = "JPEG baseline=0.7,uncompressed=0.2,RLE=0.08,JPEG 2000=0.02"


def validate(units: Units, files: Sequence[Path], spec: str, folder: Path) -> str:
    """Run the command on files of all syntaxes alike, and return a table of predicted and measured seconds."""
    from scale_measure import available_cores, pin, run_command

    cost = cost_of_file(units, Load(), Cluster())
    processor = units.start + len(files) * cost.core
    rows = []
    for count in range(1, min(2, available_cores()) + 1):
        pin(count)
        run = run_command(files, spec, folder / f"cores{count}")
        wall = units.start + len(files) * cost.core / count
        shown = (processor, run.processor, run.processor / processor, wall, run.wall, run.processor / run.wall)
        rows.append([str(count), *(f"{value:.2f}" for value in shown)])
    return table(
        [
            "cores", "processor, predicted s", "measured s", "measured/predicted", "clock, predicted s", "measured s",
            "cores that the run got",
        ],
        rows,
    )  # fmt: skip


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
    parser.add_argument("--studies", type=float, default=load.studies)
    parser.add_argument("--images", type=float, default=load.images, help="files a study")
    parser.add_argument("--frames", type=float, default=load.frames, help="a file")
    parser.add_argument("--mix", default=MIX, help="shares of transfer syntaxes; empty for all alike")
    parser.add_argument("--write", default=",".join(load.outputs), help="outputs, as in bus-monai segment")
    parser.add_argument("--cores", type=float, default=cluster.cores, help="of a CPU node")
    parser.add_argument("--gpu-cores", type=float, default=16, help="of a GPU node")
    parser.add_argument("--gpus", type=float, default=1, help="of a GPU node")
    parser.add_argument("--gpu-ms", type=float, default=1000 * cluster.gpu_seconds, help="of a GPU for a frame")
    parser.add_argument("--node-gbit", type=float, default=cluster.node_bytes * 8e-9, help="network of a node")
    parser.add_argument("--storage-gbit", type=float, default=cluster.shared_bytes * 8e-9, help="shared storage")
    parser.add_argument("--latency-ms", type=float, default=1000 * cluster.latency, help="of the storage, a file")
    return parser.parse_args()


def measured(words: argparse.Namespace, folder: Path) -> tuple[Units, str]:
    """Measure the unit costs and keep them; return them and, where asked for, a table of a run."""
    from scale_files import write_files
    from scale_measure import measure, pin

    size = tuple(words.size)
    generated = words.measure == ["phantoms"]
    files = write_files(folder / "files", words.files, size) if generated else [Path(file) for file in words.measure]
    pin(1)
    units = measure(files, words.model, words.rounds)
    units.save(words.units)
    if not words.validate:
        return units, ""
    return units, validate(units, write_files(folder / "many", words.validate, size), words.model, folder)


def main() -> None:
    words = options()
    try:
        with tempfile.TemporaryDirectory() as name:
            units, run = measured(words, Path(name)) if words.measure else (Units.read(words.units), "")
        outputs = tuple(word for word in words.write.split(",") if word)
        load = Load(words.studies, words.images, words.frames, parse_mix(words.mix, units), outputs)
        cpu = Cluster(words.cores, 0, 0, words.node_gbit * 1.25e8, words.storage_gbit * 1.25e8, words.latency_ms / 1000)
        gpu = replace(cpu, cores=words.gpu_cores, gpus=words.gpus, gpu_seconds=words.gpu_ms / 1000)
        print_report(units, load, cpu, gpu)
        if run:
            print(f"\n{run}")
        if words.plot:
            draw(units, load, {"CPU nodes": cpu, "GPU nodes": gpu}, words.plot)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
