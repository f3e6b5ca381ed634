"""``bus-monai sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bus_monai.bundle.settings import parse_setting, path_text
from bus_monai.cli.options import Data, Trust, check_not_set, stoppable
from bus_monai.errors import UserError

SET_BY_SWEEP = {
    "ckpt_dir": "give --out",
    "output_dir": "give --out",
    "resume": "leave it out, since the same --out goes on",
    "run_name": "leave it out",
    "parent_run": "leave it out",
}
"""Keys of each training that a sweep sets, and what to do instead."""


@stoppable("the same command goes on where it ended")
def sweep(
    bundle: Annotated[str, typer.Argument(help="Name of the bundle, see 'bus-monai info'.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B|LOW..HIGH[:log]", help="Search over a key; may come often. 2..16 is of whole numbers."
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A grid of the paper, by its name in the bundle's sweeps.json.")
    ] = None,
    folds: Annotated[bool, typer.Option("--folds", help="Cross-validate over five folds.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trainings in all; without it every combination of A,B.")
    ] = None,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Folder of the results; start again with it to go on.")] = Path("sweep"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the bundle's train.json.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Cross-validate a bundle (--folds), or search over its settings (--vary, --preset); trainings are MLflow runs.

    bus-monai sweep rdau_gan --vary use_gate=true,false --vary gan_mode=none,wgan

    bus-monai sweep baseline --vary lr=1e-5..1e-3:log --trials 20

    Stopped and started again with the same --out it goes on; another bundle, data set or setting needs another --out.
    """
    from bus_monai.bundle.registry import find_bundle
    from bus_monai.experiments.search import parse_space, read_preset

    if folds == bool(vary or preset):
        raise UserError("A sweep needs either --folds or what to vary (--vary KEY=VALUES, --preset): give one of them.")
    if folds and trials is not None:
        raise UserError("There are as many trainings as folds: leave --trials out, or give --vary.", key="--trials")
    root = find_bundle(bundle, trust=trust)
    space = parse_space([*(read_preset(root, preset) if preset else ()), *(vary or ())])
    overrides = dict(parse_setting(text) for text in settings or ())
    instead = SET_BY_SWEEP | ({"dataset_dir": "give --data alone"} if data else {})
    check_not_set("--vary", [choice.key for choice in space], instead)
    instead |= {"protocol": "leave it out, since --folds has kfold5"} if folds else {}
    check_not_set("--set", overrides, instead | {choice.key: "give --vary alone" for choice in space})
    overrides |= {"dataset_dir": path_text(data)} if data else {}
    if folds:
        from bus_monai.experiments.cross_validation import cross_validate

        print(cross_validate(root, out, overrides))
        return
    from bus_monai.experiments.search import TRIALS_FILE, search

    study = search(root, out, overrides, space, trials=trials)
    print(f"best: {study.best_trial.user_attrs['folder']}, validation {study.best_value:.4f}\n{out / TRIALS_FILE}")
