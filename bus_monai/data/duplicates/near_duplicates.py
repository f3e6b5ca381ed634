"""Groups of images that show the same."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bus_monai.atomic_file import atomic_file
from bus_monai.data.cache import cache_folder
from bus_monai.data.duplicates.known_duplicates import known_duplicates
from bus_monai.data.duplicates.pairs import find_pairs, join_pairs
from bus_monai.data.duplicates.square import to_square
from bus_monai.errors import UserError
from bus_monai.source import read_raster

logger = logging.getLogger("bus_monai")

VERSION = 1
"""Part of the cache's name: raise it whenever other pairs are found."""
LEAST_TO_CACHE = 100
"""Images; fewer are compared in less than two seconds."""


def group_near_duplicates(images: Sequence[Path], known: Path | None = None) -> list[str]:
    """Name the group of each image.

    Two images belong together when the audit finds them to be copies or of one scene, or when ``known`` says so; and
    so do the friends of friends. An image that cannot be read resembles none: whoever uses it will say so. What was
    found among a hundred images or more is kept in the cache folder.

    Args:
        images: PNG or JPEG files.
        known: a table of groups found before, see ``known_duplicates``.

    Returns:
        One name an image, derived from the first image of its group.

    Raises:
        UserError: ``known`` lacks a column.
    """
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]
    first: dict[str, int] = {}
    pairs = [(first.setdefault(content, i), i) for i, content in enumerate(contents)]
    pairs += [(first[one], first[other]) for one, other in _similar({c: images[i] for c, i in first.items()})]
    if known is not None:
        pairs += known_duplicates(images, known)
    leader = {i: group[0] for group in join_pairs(pairs, len(images)) for i in group}
    return [_name(images[leader.get(i, i)]) for i in range(len(images))]


def _name(image: Path) -> str:
    return image.stem.replace(" ", "_").replace("(", "").replace(")", "")


def _similar(images: dict[str, Path]) -> list[tuple[str, str]]:
    """Return the pairs of contents that show the same, from the cache where they were found before."""
    if len(images) < LEAST_TO_CACHE:
        return _compare(images)
    key = hashlib.sha256("".join(sorted(images)).encode()).hexdigest()
    file = cache_folder() / f"near-duplicates-v{VERSION}" / f"{key}.json"
    try:
        return [(one, other) for one, other in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        pairs = _compare(images)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            partial.write_text(json.dumps(pairs), encoding="utf-8")
    except OSError as error:
        logger.info("The duplicates are not kept in '%s': %s", file, error.strerror)
    return pairs


def _compare(images: dict[str, Path]) -> list[tuple[str, str]]:
    contents: list[str] = []
    squares: list[NDArray[np.float32]] = []
    # sorted: what is found must not depend on the order of the folder
    for content, path in tqdm(sorted(images.items()), desc="reading images", disable=len(images) < 100, leave=False):
        try:
            squares.append(to_square(read_raster(path)))
        except UserError:
            continue
        contents.append(content)
    return [(contents[pair.first], contents[pair.second]) for pair in find_pairs(squares, contents)]
