"""Dice by the number of labeled images, for each strategy that says what to label next.

    python benchmarks/learning_loop.py BUSI --out OUT [--strategies ...] [--seeds 0 1 2] [--rounds 4] [--batch 20]

A simulated annotator labels images of BUSI in rounds, by the strategies of ``bus-monai label``. The first round is
drawn at random, the same for all strategies of a seed. After each round a ``lite_unet``, at first with ImageNet's
weights, is trained further on all labels so far by its own ``train.json``, as many steps in each round, and tested on
the images that the first fold of ``kfold5`` holds out: mean Dice, where an image without a lesion counts 1 if nothing
is found in it, else 0. What a round gave is a line of OUT/rounds.csv; the same command goes on with what is missing.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import math
import random
import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor
from tqdm import tqdm

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import CHECKPOINT_FILE, TRAINED_FILE, find_bundle
from bus_monai.bundle.run import BundleParts, bundle_parts, train_run
from bus_monai.bundle.settings import read_settings
from bus_monai.data.datalist import Case, Datalist, write_datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.experiments.cross_validation import held_out_scores
from bus_monai.explain.saliency import choose_layer
from bus_monai.explain.uncertainty import image_features, k_center, uncertainty_map
from bus_monai.sources.read import read_source

STRATEGIES = ("first", "random", "uncertainty", "diversity")
HEAD = ("seed", "strategy", "labels", "with_lesion", "dice")
BATCH_SIZE = 8
Row = dict[str, str]


def seen(parts: BundleParts, case: Case) -> Tensor:
    pixels = read_source(case.image).pixels
    item = parts.before({"image": MetaTensor(torch.from_numpy(pixels.copy())[None])})
    return item["image"].as_tensor()[None].to(parts.device)


def choose(
    strategy: str, rest: Sequence[Case], labeled: Sequence[Case], model: TrainedModel, count: int, draw: random.Random
) -> list[Case]:
    """Return which of the rest are labeled next."""
    if strategy == "first":
        return sorted(rest, key=lambda case: case.id)[:count]
    if strategy == "random":
        return draw.sample(list(rest), count)
    parts = bundle_parts(model)
    if strategy == "uncertainty":
        sums = {case.id: float(uncertainty_map(parts.network, seen(parts, case)).sum()) for case in rest}
        return sorted(rest, key=lambda case: sums[case.id])[-count:]
    layer = choose_layer(parts.network, parts.size)
    known = [image_features(parts.network, layer, seen(parts, case)) for case in labeled]
    left = {case: image_features(parts.network, layer, seen(parts, case)) for case in rest}
    chosen: list[Case] = []
    for _ in range(count):
        case = list(left)[k_center(np.stack(list(left.values())), np.stack(known))]
        known.append(left.pop(case))
        chosen.append(case)
    return chosen


def train(
    datalist: Datalist, folder: Path, start: TrainedModel | None, seed: int, size: int, steps: int
) -> TrainedModel:
    bundle, weights = find_bundle("lite_unet"), folder / TRAINED_FILE
    if not weights.exists():
        data = write_datalist(datalist.training[0].image.parent, datalist).parent
        epochs = math.ceil(steps / math.ceil(len(datalist.training) / BATCH_SIZE))
        settings: dict[str, Any] = {"dataset_dir": str(data), "seed": seed, "image_size": [size, size]}
        settings |= dict.fromkeys(("max_epochs", "val_interval", "save_interval", "figure_interval"), epochs)
        settings |= {"batch_size": BATCH_SIZE} | ({} if start is None else {"encoder_weights": None})
        train_run(bundle, folder, settings, start=None if start is None else str(start.files[0]))
        (folder / CHECKPOINT_FILE).unlink()
        shutil.rmtree(folder / "mlruns", ignore_errors=True)
    return TrainedModel("lite_unet", bundle, str(weights), read_settings(weights))


def copied(cases: Sequence[Case], folder: Path) -> list[Case]:
    """Return the cases with their files in one folder, as a datalist wants them."""
    found = []
    for case in cases:
        files = [Path(shutil.copy(file, folder)) for file in (case.image, *case.masks)]
        found.append(replace(case, image=files[0], masks=tuple(files[1:])))
    return found


def read_rows(file: Path) -> list[Row]:
    if not file.exists():
        return []
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, HEAD)
        writer.writeheader()
        writer.writerows(rows)


def table(rows: Sequence[Row]) -> str:
    """Return mean and range over the seeds, one line per number of labels."""
    strategies = [name for name in STRATEGIES if any(row["strategy"] == name for row in rows)]
    lines = [f"| labels | {' | '.join(strategies)} |", "| ---: |" + " ---: |" * len(strategies)]
    for labels in sorted({int(row["labels"]) for row in rows}):
        cells = []
        for name in strategies:
            dice = [float(row["dice"]) for row in rows if row["strategy"] == name and int(row["labels"]) == labels]
            cells.append(f"{statistics.fmean(dice):.3f} ({min(dice):.3f} to {max(dice):.3f})" if dice else "")
        lines.append(f"| {labels} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_curves(rows: Sequence[Row], file: Path) -> None:
    """Draw the mean over the seeds and, as a band, their range."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in STRATEGIES:
        of_name = [row for row in rows if row["strategy"] == name]
        labels = sorted({int(row["labels"]) for row in of_name})
        if not labels:
            continue
        dice = [[float(row["dice"]) for row in of_name if int(row["labels"]) == count] for count in labels]
        (line,) = axes.plot(labels, [statistics.fmean(values) for values in dice], marker="o", label=name)
        axes.fill_between(labels, [min(v) for v in dice], [max(v) for v in dice], color=line.get_color(), alpha=0.15)
    axes.set(xlabel="labeled images", ylabel="mean Dice of the test images")
    axes.legend()
    figure.savefig(file, dpi=150)
    plt.close(figure)


def loop(
    pool: Sequence[Case], held_out: Datalist, strategy: str, seed: int, options: argparse.Namespace
) -> Iterator[Row]:
    """Yield what each round gives."""
    labeled = random.Random(seed).sample(list(pool), options.batch)
    model = None
    for number in range(options.rounds):
        split = replace(held_out, training=tuple(labeled))
        # the first is the same for all strategies
        folder = options.out / f"{seed}_{strategy if number else 'start'}_{len(labeled)}"
        model = train(split, folder, model, seed, options.size, options.steps)
        lesions = sum(case.diagnosis != "normal" for case in labeled)
        values = (seed, strategy, len(labeled), lesions, round(statistics.fmean(held_out_scores(model, split.test)), 4))
        yield dict(zip(HEAD, map(str, values), strict=True))
        if number < options.rounds - 1:
            rest = [case for case in pool if case not in labeled]
            labeled += choose(strategy, rest, labeled, model, options.batch, random.Random(1000 * seed + number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="BUSI as unpacked, or another data set with masks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=20, help="images per round")
    parser.add_argument("--steps", type=int, default=200, help="of each round's training")
    parser.add_argument("--size", type=int, default=96, help="pixels per side, of the network's input")
    parser.add_argument("--plot", type=Path, help="a picture of the curves")
    options = parser.parse_args()
    logging.getLogger("bus_monai").setLevel(logging.ERROR)
    files = options.out / "data"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    split = load_dataset(options.data, protocol="kfold5:0")
    pool = copied(split.training, files)
    held_out = Datalist(validation=copied(split.validation, files), test=copied(split.test, files))
    results = options.out / "rounds.csv"
    rows = read_rows(results)
    with tqdm(total=len(options.seeds) * len(options.strategies) * options.rounds, unit="round") as bar:
        for seed, strategy in itertools.product(options.seeds, options.strategies):
            bar.set_description(f"seed {seed}, {strategy}")
            done = [row for row in rows if (row["seed"], row["strategy"]) == (str(seed), strategy)]
            bar.update(len(done))
            if len(done) < options.rounds:
                # one that was stopped begins anew
                rows = [row for row in rows if row not in done]
                bar.update(-len(done))
                for row in loop(pool, held_out, strategy, seed, options):
                    rows.append(row)
                    write_rows(results, rows)
                    bar.update()
    print(table(rows))
    if options.plot:
        draw_curves(rows, options.plot)


if __name__ == "__main__":
    main()
