"""Clicks that a simulated annotator needs to reach a Dice of 0.9 on images of BUSI, by method (NoC@90).

    python benchmarks/clicks.py [--model BUNDLE:WEIGHTS] [--images 40] [--methods ...]

The annotator clicks in the middle of what is most wrong and gives up after 20 clicks, which count as 20. It begins from
nothing, from a box around the largest lesion, and from a model's probability. The images, all with a lesion, are spread
evenly over the test images of the split that the model was trained with. The methods differ in how a click corrects an
outline; a lesion of its own is grown by ``find_outline``, but by the random walk too in ``walk alone``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import sobel
from skimage.segmentation import (
    inverse_gaussian_gradient,
    morphological_chan_vese,
    morphological_geodesic_active_contour,
    watershed,
)

from bus_monai.bundle.models import parse_models
from bus_monai.data.datalist import Case
from bus_monai.data.items import DEFAULT_SPLIT, training_split
from bus_monai.geometry.box import Box
from bus_monai.geometry.lesion import label_components
from bus_monai.inference.predictor import Predictor
from bus_monai.interaction import refine as application
from bus_monai.interaction.outline import Click, Guess, disk
from bus_monai.interaction.refine import WALK_REACH, Correct, apply_click, refine, walk_region
from bus_monai.interaction.simulate_clicks import ClickedCase, simulate_clicks
from bus_monai.io.image import read_masks
from bus_monai.metrics.aggregate import grouped_mean
from bus_monai.sources.read import read_source

SHARED = Path(os.environ.get("BUS_MONAI_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TARGET, MAX_CLICKS = 0.9, 20
Mask = NDArray[np.bool_]
Image = NDArray[np.floating]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Start:
    image: Image
    truth: Mask
    probability: Image
    mask: Mask
    group: str


def paint(image: Image, mask: Mask, click: Click, before: Sequence[Click], distance: float) -> Mask:
    """The disk around the click, whatever the image shows."""
    return disk(mask.shape, click, distance)


def flood(image: Image, mask: Mask, click: Click, before: Sequence[Click], distance: float) -> Mask:
    near = disk(mask.shape, click, WALK_REACH * distance)
    seeds = np.where(near, 0, np.where(mask == click.positive, 1, 2))
    for other in before:
        seeds[disk(mask.shape, other, 2) & near] = 1 if other.positive == click.positive else 2
    seeds[disk(mask.shape, click, max(1.5, 0.5 * distance))] = 1
    return (watershed(sobel(gaussian_filter(image, 2)), seeds) == 1) & near


def chan_vese(image: Image, mask: Mask, click: Click, before: Sequence[Click], distance: float) -> Mask:
    window, start = level_set(click, distance, mask.shape)
    evolved = morphological_chan_vese(gaussian_filter(image[window], 2), 20, init_level_set=start, smoothing=2)
    return near_click(evolved, window, click, distance, mask.shape)


def active_contour(image: Image, mask: Mask, click: Click, before: Sequence[Click], distance: float) -> Mask:
    distance *= 0.75
    window, start = level_set(click, distance, mask.shape)
    edges = inverse_gaussian_gradient(image[window], sigma=2)
    evolved = morphological_geodesic_active_contour(edges, 30, init_level_set=start, balloon=1, threshold=0.5)
    return near_click(evolved, window, click, distance, mask.shape)


def level_set(click: Click, distance: float, shape: tuple[int, ...]) -> tuple[Window, NDArray[np.int8]]:
    reach = int(WALK_REACH * distance) + 2
    rows = slice(max(click.row - reach, 0), click.row + reach + 1)
    columns = slice(max(click.column - reach, 0), click.column + reach + 1)
    start = disk(shape, click, max(1.5, 0.8 * distance))
    return (rows, columns), start[rows, columns].astype(np.int8)


def near_click(evolved: NDArray, window: Window, click: Click, distance: float, shape: tuple[int, ...]) -> Mask:
    region = np.zeros(shape, dtype=bool)
    region[window] = evolved > 0
    return region & disk(shape, click, WALK_REACH * distance)


def walk_from_guess(image: Image, probability: Image, guess: Guess, clicks: Sequence[Click]) -> Mask:
    click = Click(int(guess.row), int(guess.column))
    return walk_region(image, np.zeros(image.shape, dtype=bool), click, clicks, guess.height)


METHODS: dict[str, Correct] = {
    "walk": walk_region,
    "walk alone": walk_region,
    "paint": paint,
    "watershed": flood,
    "Chan-Vese": chan_vese,
    "active contour": active_contour,
}


def annotate(start: Start, method: str) -> ClickedCase:
    done: dict[tuple[Click, ...], Mask] = {(): start.mask}

    def segment(clicks: Sequence[Click]) -> Mask:
        key = tuple(clicks)
        if key not in done:
            earlier = key[:-1]
            done[key] = apply_click(
                start.image, start.probability, done[earlier], key[-1], earlier, correct=METHODS[method]
            )
        return done[key]

    grow = walk_from_guess if method == "walk alone" else application.find_outline
    with patch.object(application, "find_outline", grow):
        return simulate_clicks(start.truth, segment, target=TARGET, max_clicks=MAX_CLICKS)


def starts(case: Case, predictor: Predictor | None) -> Iterator[tuple[str, Start]]:
    image = read_source(case.image).pixels
    truth = read_masks(case.masks, image.shape)
    nothing = np.zeros_like(image)
    yield "nothing", Start(image, truth, nothing, nothing > 0, case.group)
    largest = Box.from_mask(label_components(truth)[0] == 1)
    yield "box", Start(image, truth, nothing, refine(image, nothing, (), largest), case.group)
    if predictor is not None:
        probability = predictor.predict(image)
        yield "model", Start(image, truth, probability, probability >= 0.5, case.group)
        mask = refine(image, probability, (), largest)
        yield "model, box", Start(image, truth, probability, mask, case.group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "busi", help="BUSI as published")
    parser.add_argument("--model", default="", help="BUNDLE[:WEIGHTS]")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    (model,) = parse_models([options.model]) if options.model else (None,)
    split = training_split(options.data, model.settings if model else DEFAULT_SPLIT)
    assert split is not None
    cases = [case for case in split.test if case.diagnosis != "normal"]
    cases = [cases[i] for i in np.linspace(0, len(cases) - 1, min(options.images, len(cases))).round().astype(int)]
    predictor = Predictor(model, precision="fp32") if model else None
    begun: dict[str, list[Start]] = {}
    for case in cases:
        for name, start in starts(case, predictor):
            begun.setdefault(name, []).append(start)
    print(f"{len(cases)} images, clicks to a Dice of {TARGET} with 95 % interval over groups")
    print("| start | method | Dice at first | after 1 click | after 5 | clicks | not reached in 20 | ms per click |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, images in begun.items():
        for method in options.methods:
            print(row(name, method, images), flush=True)


def row(name: str, method: str, images: Sequence[Start]) -> str:
    began = time.process_time()
    done = [annotate(start, method) for start in images]
    spent = time.process_time() - began
    counts = [len(case.clicks) for case in done]
    clicks = grouped_mean(counts, [start.group for start in images])
    after = [np.mean([case.dice[min(n, len(case.dice) - 1)] for case in done]) for n in (0, 1, 5)]
    low, high = (clicks.value if end is None else end for end in (clicks.low, clicks.high))
    missed = sum(case.dice[-1] < TARGET for case in done)
    return (
        f"| {name} | {method} | {after[0]:.3f} | {after[1]:.3f} | {after[2]:.3f} | {clicks.value:.1f} "
        f"[{low:.1f}, {high:.1f}] | {missed} "
        f"| {1000 * spent / max(sum(counts), 1):.0f} |"
    )


if __name__ == "__main__":
    main()
