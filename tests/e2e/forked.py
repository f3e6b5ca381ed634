"""A Python command in a process forked from one that has imported everything, which saves its imports."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

HEAVY = ["monai.bundle", "mlflow", "bus_monai.bundle.workflow", "bus_monai.experiments.cross_validation"]
HEAVY += ["bus_monai.experiments.search", "bus_monai.networks.segmenters", "bus_monai.inference.predictor"]


def start_forked(words: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> ForkServerProcess:
    """Start ``python ...`` or ``bus-monai ...`` in a folder; what it prints goes to ``log``.

    Bundles are those of the folder, where it has some.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    process = context.Process(target=_become, args=(list(words), folder, dict(environment), log))
    process.start()
    return process


def run_forked(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float, log: Path | None = None
) -> tuple[int, str]:
    """Run ``python ...`` or ``bus-monai ...`` in a folder; the exit code, and all that was printed.

    What runs longer than ``seconds`` is killed, with -9 for its exit code.
    """
    log = log or folder / ".log"
    process = start_forked(words, folder, environment, log)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode or 0, log.read_text(errors="replace") if log.exists() else ""


def _become(words: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # read by OpenMP once, when PyTorch was imported
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS") or torch.get_num_threads()))
    if (folder / "bundles").is_dir():
        from bus_monai.bundle import registry

        registry.BUNDLE_FOLDERS = (folder / "_bundles", folder / "bundles")
    try:
        _run(words, folder)
    except Exception:
        # as the interpreter ends: multiprocessing would print a traceback of its own
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def _run(words: list[str], folder: Path) -> None:
    program, *rest = words
    sys.path.insert(0, str(folder))
    if program == "bus-monai":
        from bus_monai.cli.main import main

        sys.argv = words
        main()
    elif rest[0] == "-m":
        sys.argv = rest[1:]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    elif rest[0] == "-c":
        sys.argv = ["-c", *rest[2:]]
        exec(rest[1], {"__name__": "__main__"})
    else:
        sys.argv = rest
        sys.path.insert(0, str(folder / Path(rest[0]).parent))
        runpy.run_path(rest[0], run_name="__main__")
