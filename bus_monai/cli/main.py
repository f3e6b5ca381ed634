"""The ``bus-monai`` command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import io
import os
import platform
import re
import sys
import traceback
import warnings
from functools import cache
from typing import Annotated, Any

import typer

from bus_monai import __version__
from bus_monai.bundle.registry import BUNDLE_FOLDERS, installed_version, list_bundles
from bus_monai.cli.compare import compare, report
from bus_monai.cli.data import data
from bus_monai.cli.evaluate import evaluate
from bus_monai.cli.explain import explain
from bus_monai.cli.export import export
from bus_monai.cli.label import label
from bus_monai.cli.mammo import mammo
from bus_monai.cli.segment import segment
from bus_monai.cli.serve import serve
from bus_monai.cli.sweep import sweep
from bus_monai.cli.train import train
from bus_monai.cli.validate import validate
from bus_monai.errors import as_user_error

BACKEND_PACKAGES = ("openvino", "onnxruntime", "torch")
"""The packages that can run a network."""

app = typer.Typer(
    help="Breast tumor segmentation with MONAI. Not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def info() -> None:
    """Tell what is installed, and list the bundles: what each is for, where it lies, whether it has weights."""
    print(f"bus-monai {__version__}, Python {platform.python_version()}")
    backends = (f"{name} {installed_version(name) or '(not installed)'}" for name in BACKEND_PACKAGES)
    print(f"runs networks with {', '.join(backends)}\n")
    for bundle in list_bundles():
        weights = f"weights: {bundle.weights.name}" if bundle.weights else "no weights: train it, or give your own"
        more = "".join(f", {bundle.name}:{name}" for name in bundle.more)
        print(f"{bundle.name}  {bundle.version}\n    {bundle.description}\n    {bundle.root}\n    {weights}{more}")


for command in (info, evaluate, validate, compare, sweep, report, explain, mammo, segment, export, label):
    app.command()(command)
app.add_typer(data, name="data")
app.add_typer(serve, name="serve")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(train)

_debug = False


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    global _debug  # noqa: PLW0603 (Typer reads the option before the command, main() after it)
    _debug = debug


@cache
def _command() -> Any:
    # built once, for those who call it many times
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line; a user's error is one sentence and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a path or a name that the terminal's encoding lacks is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    # MONAI's warning of configs that are code is right about others; these are as trustworthy as the package
    for folder in BUNDLE_FOLDERS:
        warnings.filterwarnings("ignore", f"parsing config_file {re.escape(str(folder))}{re.escape(os.sep)}")
    try:
        _command()()
    except Exception as error:
        sentence = as_user_error(error)
        if sentence is None or _debug:
            traceback.print_exc()
        print(f"bus-monai: {sentence or f'unexpected {type(error).__name__}: {error}'}", file=sys.stderr)
        sys.exit(2 if sentence else 70)
