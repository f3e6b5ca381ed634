"""Group near-duplicate images: found by registration, or known from a table."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from bus_monai.data.datalist import Case
from bus_monai.data.registration import (
    Candidate,
    Flip,
    correlate_registered,
    find_candidates,
    fit_windows,
    flipped,
    to_coarse,
    to_square,
)
from bus_monai.errors import UserError, check_columns
from bus_monai.io.atomic import atomic_file, cache_folder
from bus_monai.io.image import read_raster
from bus_monai.io.opened import hash_file

logger = logging.getLogger("bus_monai")
KNOWN_DUPLICATES_FILE = "near_duplicates.csv"
MIN_COPY_CORRELATION = 0.8
"""Copies of BUSI images reach 0.87; of frames of one cine only those that differ by less than the eye sees do."""
MIN_SCENE_CORRELATION = 0.4
"""Images of different lesions stay below 0.3."""
PAIRS_VERSION = 1
"""Part of the cache's name: raise it whenever other pairs are found."""
FITTED_AT_ONCE = 16
"""Pairs: as many as stay in the cache of a core."""
MIN_IMAGES_TO_CACHE = 100
"""Images; fewer are compared in less than two seconds."""


def known_duplicates(images: Sequence[Path], table: Path) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of ``images`` that join the groups of ``table``; none if there is no table.

    Args:
        images: files; rows about others are passed over.
        table: CSV with the columns ``group`` and ``image`` (path relative to the table).

    Raises:
        UserError: ``table`` lacks a column.
    """
    if not table.is_file():
        return
    index = {path.resolve(): i for i, path in enumerate(images)}
    first: dict[str, int] = {}
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        check_columns(table, ("group", "image"), rows.fieldnames, remedy="correct or remove it")
        for row in rows:
            i = index.get((table.parent / row["image"]).resolve())
            if i is not None:
                yield first.setdefault(row["group"], i), i


@dataclass(frozen=True)
class Pair:
    """A pair of near-duplicate images.

    Args:
        first: index of the one, below ``second``.
        second: index of the other.
        correlation: of the fine structure after registration, in [-1, 1].
        flip: that turns the one into the other.
        equal: whether they agree in every pixel.
    """

    first: int
    second: int
    correlation: float
    flip: Flip = "none"
    equal: bool = False

    @property
    def copies(self) -> bool:
        """Whether the two are one image, and not only one scene."""
        return self.correlation >= MIN_COPY_CORRELATION


def find_pairs(squares: Sequence[NDArray[np.float32]], digests: Sequence[str]) -> list[Pair]:
    """Find the images that are copies of each other, and those that show the same scene.

    Copies are found after a flip, a crop of up to a tenth per side, a rescale, a gamma from 0.5 to 2, black margins,
    and JPEG, and all of these at once.

    Args:
        squares: (128, 128) each, as ``to_square`` makes them.
        digests: of the pixels of each image; equal ones make equal pairs.

    Returns:
        The pairs in the order of their images. Of equal images only the first is compared with others.
    """
    first: dict[str, int] = {}
    equal = [Pair(first[d], i, 1.0, equal=True) for i, d in enumerate(digests) if first.setdefault(d, i) != i]
    kept = sorted(first.values())
    coarse = [to_coarse(squares[i]) for i in kept]
    best: dict[tuple[int, int], Pair] = {}
    candidates = list(find_candidates([squares[i] for i in kept]))
    for c, window in _fitted(candidates, coarse):
        i, j = kept[c.first], kept[c.second]
        correlation = correlate_registered(flipped(squares[i], c.flip), squares[j], window)
        pair = Pair(min(i, j), max(i, j), correlation, c.flip)
        known = best.get((pair.first, pair.second))
        if correlation >= MIN_SCENE_CORRELATION and (known is None or known.correlation < correlation):
            best[pair.first, pair.second] = pair
    return sorted([*equal, *best.values()], key=lambda pair: (pair.first, pair.second))


def _fitted(
    candidates: Sequence[Candidate], coarse: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[Candidate, NDArray[np.float64]]]:
    """Yield candidates with the windows that fit."""
    with tqdm(total=len(candidates), desc="comparing pairs", disable=len(candidates) < 500 or None, leave=False) as bar:
        for begin in range(0, len(candidates), FITTED_AT_ONCE):
            some = candidates[begin : begin + FITTED_AT_ONCE]
            first = np.stack([flipped(coarse[c.first], c.flip) for c in some])
            second = np.stack([coarse[c.second] for c in some])
            yield from zip(some, fit_windows(first, second, np.array([c.window for c in some])), strict=True)
            bar.update(len(some))


def join_pairs(pairs: Iterable[tuple[int, int]], count: int) -> list[list[int]]:
    """Return the groups of at least two of ``count`` images that pairs join, also by way of others."""
    edges = np.array([*pairs], dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return groups_of(dict(enumerate(labels.tolist())))


def groups_of(labels: Mapping[int, object]) -> list[list[int]]:
    """Return the groups of at least two that bear the same label, in the order of their first members."""
    groups: dict[object, list[int]] = {}
    for i, name in sorted(labels.items()):
        groups.setdefault(name, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def group_near_duplicates(images: Sequence[Path], known: Path | None = None) -> list[str]:
    """Name the group of each image.

    Two images belong together when the audit finds them to be copies or of one scene, or when ``known`` says so; and
    so do the friends of friends. An image that cannot be read resembles none: whoever uses it will say so. What was
    found among a hundred images or more is kept in the cache folder.

    Args:
        images: PNG or JPEG files.
        known: a table of groups found before, see ``known_duplicates``.

    Returns:
        One name per image, derived from the first image of its group.

    Raises:
        UserError: ``known`` lacks a column.
    """
    pairs = _duplicate_pairs(images)
    if known is not None:
        pairs += known_duplicates(images, known)
    return [_name(images[leader]) for leader in _leaders(pairs, len(images))]


def join_groups(cases: Sequence[Case]) -> list[Case]:
    """Return cases whose groups also hold near-duplicates: groups that share one become the first of them."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(case.group, i), i) for i, case in enumerate(cases)]
    pairs += _duplicate_pairs([case.image for case in cases])
    leaders = _leaders(pairs, len(cases))
    return [replace(case, group=cases[leader].group) for case, leader in zip(cases, leaders, strict=True)]


def _duplicate_pairs(images: Sequence[Path]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    pairs = [(first.setdefault(hash_file(path), i), i) for i, path in enumerate(images)]
    return pairs + [(first[one], first[other]) for one, other in _similar({c: images[i] for c, i in first.items()})]


def _leaders(pairs: Iterable[tuple[int, int]], count: int) -> list[int]:
    """Return the first member of the group of each of ``count`` images."""
    leader = {i: group[0] for group in join_pairs(pairs, count) for i in group}
    return [leader.get(i, i) for i in range(count)]


def with_groups(cases: Sequence[Case], known: Path | None = None) -> list[Case]:
    """Return cases with the groups of :func:`group_near_duplicates` in place of their own."""
    groups = group_near_duplicates([case.image for case in cases], known)
    return [replace(case, group=group) for case, group in zip(cases, groups, strict=True)]


def _name(image: Path) -> str:
    return image.stem.replace(" ", "_").replace("(", "").replace(")", "")


def _similar(images: dict[str, Path]) -> list[tuple[str, str]]:
    """Return the pairs of contents that show the same, from the cache where they were found before."""
    if len(images) < MIN_IMAGES_TO_CACHE:
        return _compare(images)
    key = hashlib.sha256("".join(sorted(images)).encode()).hexdigest()
    file = cache_folder() / f"near-duplicates-v{PAIRS_VERSION}" / f"{key}.json"
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
    for content, path in tqdm(
        sorted(images.items()), desc="reading images", disable=len(images) < 100 or None, leave=False
    ):
        try:
            squares.append(to_square(read_raster(path)))
        except UserError:
            continue
        contents.append(content)
    return [(contents[pair.first], contents[pair.second]) for pair in find_pairs(squares, contents)]
