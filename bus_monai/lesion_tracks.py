"""One lesion through the frames of a cine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

GAP = 3
"""Frames that a lesion may be missing and still be the same: a tenth of a second of a usual cine."""


def track_lesions(labels: Sequence[NDArray[np.int32]]) -> list[dict[int, int]]:
    """Join the components of successive frames that overlap.

    A component joins the track whose last component, at most ``GAP`` frames missing between, it overlaps with the
    greatest intersection over union; pairs are made greedily, the best first, the nearer frame first among equals.

    Args:
        labels: (H, W) a frame, numbers from 1, 0 outside.

    Returns:
        For each lesion the number it has in each frame where it is seen, in the order in which they appear; every
        component of every frame is in exactly one of them.
    """
    tracks: list[dict[int, int]] = []
    owners: dict[tuple[int, int], int] = {}
    for frame, current in enumerate(labels):
        last = {max(track) for track in tracks}
        pairs = sorted(
            (-iou, frame - earlier, number, before, earlier)
            for earlier in sorted(last & set(range(frame - GAP - 1, frame)))
            for before, number, iou in _overlaps(labels[earlier], current)
            if max(tracks[owners[earlier, before]]) == earlier
        )
        joined: dict[int, int] = {}
        for _, _, number, before, earlier in pairs:
            track = owners[earlier, before]
            if number not in joined and track not in joined.values():
                joined[number] = track
        for number in (int(n) for n in np.unique(current) if n):
            if number not in joined:
                joined[number] = len(tracks)
                tracks.append({})
            tracks[joined[number]][frame] = number
            owners[frame, number] = joined[number]
    return tracks


def _overlaps(before: NDArray[np.int32], after: NDArray[np.int32]) -> Iterator[tuple[int, int, float]]:
    """Yield the numbers of two components that share pixels, and their intersection over union."""
    most = int(after.max()) + 1
    shared = (before > 0) & (after > 0)
    pairs, counts = np.unique(before[shared].astype(np.int64) * most + after[shared], return_counts=True)
    if not len(pairs):
        return
    sizes_before, sizes_after = np.bincount(before.ravel()), np.bincount(after.ravel())
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        one, other = divmod(pair, most)
        yield one, other, count / float(sizes_before[one] + sizes_after[other] - count)
