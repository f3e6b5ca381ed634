"""``bus-monai train``."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from bus_monai.bundle.declared import described_settings
from bus_monai.bundle.registry import TRAIN_CONFIG, find_bundle
from bus_monai.bundle.settings import keep_null, parse_value
from bus_monai.cli.options import Trust, stoppable
from bus_monai.errors import UserError

HELP_WIDTH = 100
TRAIN_HELP = """\
Usage: bus-monai train BUNDLE [--trust] [--KEY VALUE]...

Train a bundle of this package, or with --trust that in any folder. The same as
    python -m monai.bundle run training --config_file {config} [--KEY VALUE]...
with short errors. Values are JSON (3, 0.1, true, null, "[128, 128]") or plain text.
"""


@stoppable("the same command with --resume true goes on after the last epoch that was saved")
def train(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Name of the bundle, see 'bus-monai info'.")] = "--help",
    trust: Trust = False,
) -> None:
    """Train a bundle: bus-monai train BUNDLE [--KEY VALUE]...; 'bus-monai train BUNDLE --help' lists its keys."""
    if bundle == "--help":
        print(TRAIN_HELP.format(config="bundles/BUNDLE/configs/train.json") + "\n'bus-monai info' lists the bundles.")
        return
    root = find_bundle(bundle, trust=trust)
    config = root / "configs" / TRAIN_CONFIG
    if "--help" in context.args:
        print(TRAIN_HELP.format(config=config) + "\nKeys of this bundle and their defaults:\n" + _keys(root))
        return
    overrides = parse_overrides(context.args)

    from monai.bundle.scripts import create_workflow

    workflow = create_workflow(config_file=str(config), run_id="training", **keep_null(overrides))
    workflow.run()
    workflow.finalize()


def parse_overrides(arguments: list[str]) -> dict[str, Any]:
    """Read ``--key value`` and ``--key=value``.

    Raises:
        UserError: something else.
    """
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise UserError(f"'{word}' is no option: write --KEY VALUE.")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise UserError(f"The option --{key} has no value: write --{key} VALUE.")
            value = rest.pop(0)
        overrides[key] = parse_value(value)
    return overrides


def _keys(bundle: Path) -> str:
    """List what a user sets in a bundle: keys, defaults, and below each what it means and takes."""
    lines = []
    for key, (value, meaning) in described_settings(bundle).items():
        default = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"  --{key} {default}")
        lines.append(textwrap.fill(meaning, HELP_WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8))
    return "\n".join(lines)
