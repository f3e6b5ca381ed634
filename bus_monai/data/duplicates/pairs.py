"""Images that show the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from bus_monai.data.duplicates.candidates import Flip, find_candidates
from bus_monai.data.duplicates.register import correlate_registered, to_coarse

LEAST_OF_COPIES = 0.8
"""Copies of BUSI images reach 0.87; of frames of one cine only those that differ by less than the eye sees do."""
LEAST_OF_SCENE = 0.4
"""Images of different lesions stay below 0.3."""


@dataclass(frozen=True)
class Pair:
    """Two images that show the same.

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
        return self.correlation >= LEAST_OF_COPIES


def find_pairs(squares: Sequence[NDArray[np.float32]], digests: Sequence[str]) -> list[Pair]:
    """Find the images that are copies of each other, and those that show the same scene.

    Copies are found after a flip, a crop of up to a tenth a side, a rescale, a gamma from 0.5 to 2, black margins, and
    JPEG, and all of these at once.

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
    for c in tqdm(candidates, desc="comparing pairs", disable=len(candidates) < 500, leave=False):
        i, j = kept[c.first], kept[c.second]
        correlation = correlate_registered(
            squares[i], squares[j], coarse[c.first], coarse[c.second], flip=c.flip, window=c.window
        )
        pair = Pair(min(i, j), max(i, j), correlation, c.flip)
        known = best.get((pair.first, pair.second))
        if correlation >= LEAST_OF_SCENE and (known is None or known.correlation < correlation):
            best[pair.first, pair.second] = pair
    return sorted([*equal, *best.values()], key=lambda pair: (pair.first, pair.second))


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
