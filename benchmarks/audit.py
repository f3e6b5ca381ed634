"""How many planted copies the audit finds, how many of the pairs it joins are true, and how long it takes.

Every image of BUSI but those that are copies of another is laid into a folder, and copies of some beside them: each
flipped, cropped, scaled, brightened or darkened, framed in black and encoded as JPEG, each with a chance of its own.
"""

import argparse
import csv
import io
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from bus_monai.data.audit.audit_folder import audit_folder
from bus_monai.data.readers.ultrasound import read_busi

SHARED = Path(os.environ.get("BUS_MONAI_SHARED", Path(__file__).resolve().parents[2] / "shared"))
UNLISTED = (
    *(f"benign/benign ({n}).png" for n in (141, 252, 253, 260, 264, 271, 281, 326, 328, 331)),
    *(f"malignant/malignant ({n}).png" for n in (66, 78, 81, 94)),
)
"""Copies of other images that ``near_duplicates.csv`` does not list, checked by eye."""


def alter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a copy under random changes, one of them at least."""
    while True:
        flip, crop, scale, gamma, frame, jpeg = rng.random(6) < (0.5, 0.6, 0.6, 0.6, 0.15, 0.6)
        if flip or crop or scale or gamma or frame or jpeg:
            break
    if flip:
        ways = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180)
        image = image.transpose(ways[rng.integers(3)])
    if crop:
        left, top, right, bottom = rng.uniform(0, 0.1, 4) * (image.size * 2)
        image = image.crop((int(left), int(top), int(image.width - right), int(image.height - bottom)))
    if scale:
        factors = rng.uniform(0.4, 1.6) * rng.uniform(0.9, 1.1, 2)
        width, height = (int(side * factor) for side, factor in zip(image.size, factors, strict=True))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if gamma:
        exponent = 2 ** rng.uniform(-1, 1)
        image = image.point([round(255 * (value / 255) ** exponent) for value in range(256)])
    if frame:
        framed = Image.new("L", tuple(int(side * rng.uniform(1, 1.4)) for side in image.size))
        framed.paste(image, tuple((f - s) // 2 for f, s in zip(framed.size, image.size, strict=True)))
        image = framed
    if jpeg:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(30, 95)))
        image = Image.open(buffer)
    return image


def plant(images: Sequence[Image.Image], copies: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Write the images and altered copies of some of them to ``folder``; return name to index of its original."""
    rng = np.random.default_rng(seed)
    origin = {}
    for i, image in enumerate(images):
        origin[f"{i:04d}.png"] = i
        image.convert("L").save(folder / f"{i:04d}.png")
    for n, i in enumerate(rng.choice(len(images), copies, replace=copies > len(images))):
        name = f"copy_{n:04d}.png"
        origin[name] = int(i)
        alter(images[i].convert("L"), rng).save(folder / name)
    return origin


def score(groups: Sequence[Sequence[str]], origin: dict[str, int]) -> tuple[float, float, list[tuple[str, str]]]:
    """Return recall of the planted pairs, precision of the joined pairs, and what is wrong."""
    joined = {pair for group in groups for pair in combinations(sorted(group), 2)}
    planted = {(f"{i:04d}.png", name) for name, i in origin.items() if name.startswith("copy")}
    false = {(one, other) for one, other in joined if origin[one] != origin[other]}
    recall = len(planted & joined) / len(planted)
    return recall, 1 - len(false) / max(len(joined), 1), sorted(false | (planted - joined))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "busi", help="BUSI as published")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with (arguments.data / "near_duplicates.csv").open(newline="", encoding="utf-8") as file:
        first: dict[str, str] = {}
        listed = {
            row["image"] for row in csv.DictReader(file) if first.setdefault(row["group"], row["image"]) != row["image"]
        }
    paths = [case.image for case in read_busi(arguments.data)]
    paths = [p for p in paths if p.relative_to(arguments.data).as_posix() not in listed.union(UNLISTED)]
    with tempfile.TemporaryDirectory() as name:
        origin = plant([Image.open(path) for path in paths], arguments.copies, Path(name), arguments.seed)
        start, start_cpu = time.perf_counter(), time.process_time()
        audit = audit_folder(name)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    recall, precision, wrong = score(audit.to_dict()["duplicate_groups"], origin)
    print(f"{len(paths)} images and {arguments.copies} copies")
    print(f"recall    {100 * recall:.1f} %\nprecision {100 * precision:.1f} %")
    print(f"{seconds:.1f} s, {cpu:.1f} s of one core, {800 * cpu / len(origin):.1f} s of one core for 800 images")
    for pair in wrong:
        print("wrong:", *(f"{name} ({paths[origin[name]].name})" for name in pair))


if __name__ == "__main__":
    main()
