"""Which pairs of images are worth a closer look."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.duplicates.square import equalise

Flip: TypeAlias = Literal["none", "horizontal", "vertical", "both"]
Window: TypeAlias = tuple[float, float, float, float]
"""Top, bottom, left and right, in units of the image's sides."""

SIDE = 16
SPANS = ((0.0, 1.0), (0.0, 0.9), (0.1, 1.0), (0.05, 0.95), (0.1, 0.9))
WINDOWS: tuple[Window, ...] = tuple((*rows, *columns) for rows, columns in itertools.product(SPANS, SPANS))
STEPS: dict[Flip, tuple[int, int]] = {"none": (1, 1), "horizontal": (1, -1), "vertical": (-1, 1), "both": (-1, -1)}
LEAST_CORRELATION = 0.75
MOST_PER_IMAGE = 5


@dataclass(frozen=True)
class Candidate:
    """Two images of which the first, flipped, may show a window of the second.

    Args:
        first: its index.
        second: its index.
        flip: of the first.
        window: of the second.
        correlation: of the two at 16x16.
    """

    first: int
    second: int
    flip: Flip
    window: Window
    correlation: float


def find_candidates(squares: Sequence[NDArray[np.float32]]) -> Iterator[Candidate]:
    """Yield for each image its most similar windows of other images, at most five, under the likeliest flip.

    Args:
        squares: (128, 128) each, as ``to_square`` makes them.
    """
    if len(squares) < 2:
        return
    cut = np.stack([[_thumbnail(square, window) for square in squares] for window in WINDOWS])
    windows = equalise(cut.reshape(len(WINDOWS), len(squares), -1))
    whole = windows[0].reshape(-1, SIDE, SIDE)
    flipped = {flip: whole[:, ::y, ::x].reshape(len(squares), -1) for flip, (y, x) in STEPS.items()}
    for i in range(len(squares)):
        # (flip, window, image)
        scores = np.stack([windows @ flipped[flip][i] for flip in STEPS])
        scores[:, :, i] = -1
        best = scores.max(axis=(0, 1))
        for j in np.argsort(-best)[:MOST_PER_IMAGE]:
            if best[j] >= LEAST_CORRELATION:
                flip, window = np.unravel_index(scores[:, :, j].argmax(), scores.shape[:2])
                yield Candidate(i, int(j), list(STEPS)[flip], WINDOWS[window], float(best[j]))


def _thumbnail(square: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    top, bottom, left, right = (edge * len(square) for edge in window)
    return np.asarray(
        Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, right, bottom)),
        dtype=np.float32,
    ).ravel()
