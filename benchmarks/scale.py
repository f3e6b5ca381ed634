"""What a million breast-ultrasound studies cost with ``bus-monai segment``: two runs of it, and the sum.

    python benchmarks/scale.py [FILE ...] [--count 200] [--studies 1e6] [--images 19] [--cores 32]

Without files it takes three generated screens of 600 x 800 pixels, uncompressed: one lesion in gray, none, and two in
color. The command runs on a quarter of the files and on all; the difference is what a file costs, without the
start. Times are of the processor, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bus_monai.data.demo_files import write_demo_files

OUTPUTS = ("seg,sr,overlay,png", "seg,sr")
SCREENS = 3
"""Of the demo, before its cine."""
COMMAND = "from bus_monai.cli.main import main; main()"


@dataclass(frozen=True)
class Cost:
    """Of one file: seconds of a core, bytes in and out; and seconds of a core for the start of a run."""

    core: float
    start: float
    bytes_in: float
    bytes_out: float


def run(files: Sequence[Path], outputs: str, out: Path) -> tuple[float, int]:
    """Run the command and return its seconds of the processor, of all its processes, and the bytes it wrote."""
    words = ["segment", *map(str, files), "--out", str(out), "--write", outputs]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def measure(files: Sequence[Path], count: int, outputs: str, folder: Path) -> Cost:
    """Return what a file costs, of ``count`` copies of the files in turn."""
    folder.mkdir()
    copies = [
        shutil.copy(path, folder / f"{number:05d}{path.suffix}")
        for number, path in enumerate(islice(cycle(files), count))
    ]
    few = count // 4
    (some, some_bytes), (all_, all_bytes) = (run(copies[:n], outputs, folder / f"out{n}") for n in (few, count))
    core = (all_ - some) / (count - few)
    bytes_in = sum(path.stat().st_size for path in copies) / count
    return Cost(core, some - few * core, bytes_in, (all_bytes - some_bytes) / (count - few))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def report(costs: dict[str, Cost], files: float, cores: int) -> str:
    """Return the costs of a file, and of all ``files``, as two tables in Markdown."""
    one = [
        [name, f"{1000 * c.core:.0f}", f"{c.start:.1f}", f"{c.bytes_in / 1e3:.0f}", f"{c.bytes_out / 1e3:.0f}"]
        for name, c in costs.items()
    ]
    whole = [
        [
            name,
            f"{files * c.core / 3600:,.0f}",
            str(math.ceil(files * c.core / 86400 / cores)),
            f"{files * c.bytes_in / 1e12:.1f}",
            f"{files * c.bytes_out / 1e12:.1f}",
            f"{files * (c.bytes_in + c.bytes_out) / 86400 / 1e6:,.0f}",
        ]
        for name, c in costs.items()
    ]
    return "\n\n".join(
        [
            table(["`--write`", "ms of a core a file", "s of a core to start", "kB in", "kB out"], one),
            f"{files:,.0f} files:",
            table(
                ["`--write`", "core-hours", f"nodes of {cores} cores for a day", "TB in", "TB out", "MB/s in a day"],
                whole,
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="your own files, taken in turn")
    parser.add_argument("--count", type=int, default=200, help="files of the longer run, at least 8")
    parser.add_argument("--studies", type=float, default=1e6)
    parser.add_argument("--images", type=float, default=19, help="files per study")
    parser.add_argument("--cores", type=int, default=32, help="of a node")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = words.files or write_demo_files(Path(name) / "screens")[:SCREENS]
        costs = {
            outputs: measure(files, words.count, outputs, Path(name) / str(number))
            for number, outputs in enumerate(OUTPUTS)
        }
    print(report(costs, words.studies * words.images, words.cores))


if __name__ == "__main__":
    main()
