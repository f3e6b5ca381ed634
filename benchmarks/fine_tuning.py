"""Dice before and after a training of ``bus-monai label``, by its learning rate.

    python benchmarks/fine_tuning.py BUS_UCLM --out OUT [--model lite_unet] [--rates 1e-3 1e-4] [--folds 0 1]

The labels of a data set, split by patient, train the model on just as the page does. A line is a rate and a fold: Dice
of the test images with the model as it came and after (an image without a lesion counts 1 if nothing is found in it,
else 0), and the gate's paired interval of their difference.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bus_monai.bundle.models import parse_models
from bus_monai.data.datalist import Datalist, write_datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.label import label_environment

sys.path.append(str(Path(__file__).resolve().parents[1]))
from benchmarks.learning_loop import copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set with masks, which the model did not learn from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="lite_unet")
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 3e-4, 1e-4, 3e-5])
    parser.add_argument("--labels", type=int, default=40, help="most that are trained on, spread over the list")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="pixels per side, of the network's input")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args()
    # behind ours, so that nothing of ours is hidden
    sys.path += [str(path) for path in label_environment().parent.parent.glob("lib/python*/site-packages")]
    import bus_monai.label.compatibility  # noqa: F401
    from bus_monai.label.model_versions import ModelVersions
    from bus_monai.label.train_task import fine_tune

    logging.getLogger("bus_monai").setLevel(logging.ERROR)
    (model,) = parse_models([options.model])
    lines = ["| rate | fold | test images | before | after | difference [95 %] |", "| ---: |" + " ---: |" * 5]
    for fold, rate in itertools.product(options.folds, options.rates):
        split = load_dataset(options.data, protocol=f"kfold5:{fold}")
        step = max(math.ceil(len(split.training) / options.labels), 1)
        split = replace(split, training=split.training[::step])

        def write(folder: Path, split: Datalist = split) -> Datalist:
            datalist = Datalist.of({name: copied(cases, folder) for name, cases in split.sections()})
            write_datalist(folder, datalist)
            return datalist

        settings = {"lr": rate, "max_epochs": options.epochs, "image_size": [options.size, options.size]}
        folder = options.out / f"{fold}_{rate:g}"
        shutil.rmtree(folder, ignore_errors=True)
        found = fine_tune(ModelVersions(folder, model), write, settings)["comparison"]
        interval = f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
        dice = f"{found['dice_before']:.3f} | {found['dice']:.3f}"
        lines.append(f"| {rate:g} | {fold} | {found['independent']} | {dice} | {interval} |")
        print(lines[-1], flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
