"""Groups of images that show the same."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from bus_monai.errors import UserError
from bus_monai.source import read_raster

SIDE = 32
LEAST_CORRELATION = 0.98


def group_near_duplicates(images: Sequence[Path], known: Path | None = None) -> list[str]:
    """Name the group of each image.

    Two images belong together when their files are equal, when their grey 32x32 versions correlate by at least 0.98,
    or when ``known`` says so; and so do the friends of friends. An image that cannot be read resembles none: whoever
    uses it will say so.

    Args:
        images: PNG or JPEG files.
        known: a table with the columns ``group`` and ``image`` (path relative to the table), if it exists.

    Returns:
        One name an image, derived from the first image of its group.

    Raises:
        UserError: ``known`` lacks a column.
    """
    if not images:
        return []
    thumbnails, contents = [], []
    for path in tqdm(images, desc="looking for near-duplicates", disable=len(images) < 100, leave=False):
        thumbnails.append(_thumbnail(path))
        contents.append(hashlib.sha256(path.read_bytes()).hexdigest())
    pairs = [*_correlated(np.stack(thumbnails)), *_equal(contents), *_known(images, known)]
    left, right = zip(*pairs, strict=True) if pairs else ((), ())
    graph = coo_array((np.ones(len(pairs)), (left, right)), shape=(len(images), len(images)))
    _, labels = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for path, label in zip(images, labels, strict=True):
        first.setdefault(int(label), path.stem.replace(" ", "_").replace("(", "").replace(")", ""))
    return [first[int(label)] for label in labels]


def _thumbnail(path: Path) -> NDArray[np.float64]:
    """Return the grey 32x32 version with mean 0 and norm 1, flattened; zeros for a constant or unreadable image."""
    try:
        pixels = read_raster(path)
    except UserError:
        return np.zeros(SIDE * SIDE)
    grey = Image.fromarray((pixels * 255).astype(np.uint8))
    values = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float64).ravel()
    values -= values.mean()
    norm = float(np.linalg.norm(values))
    return values / norm if norm > 0 else values


def _correlated(thumbnails: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    for i, j in np.argwhere(np.triu(thumbnails @ thumbnails.T >= LEAST_CORRELATION, k=1)):
        yield int(i), int(j)


def _equal(contents: Sequence[str]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for i, content in enumerate(contents):
        yield first.setdefault(content, i), i


def _known(images: Sequence[Path], table: Path | None) -> Iterator[tuple[int, int]]:
    if table is None or not table.is_file():
        return
    index = {path.resolve(): i for i, path in enumerate(images)}
    first: dict[str, int] = {}
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"group", "image"} <= set(rows.fieldnames or ()):
            raise UserError(f"'{table}' lacks the columns 'group' and 'image': correct or remove it.")
        for row in rows:
            i = index.get((table.parent / row["image"]).resolve())
            if i is not None:
                yield first.setdefault(row["group"], i), i
