"""The interface of backends, and their number of threads."""

from __future__ import annotations

import os
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Precision: TypeAlias = Literal["fast", "fp32"]
"""``fast`` is bfloat16 where the processor computes in it."""


class Backend(Protocol):
    """From gray pixels (H, W) float32 in [0, 1] to probabilities (H, W) float32 in [0, 1], for any H and W."""

    name: str

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment one image."""
        ...


def wanted_threads() -> int:
    """Return the first number of ``OMP_NUM_THREADS``, as PyTorch heeds it by itself; 0, as many as there are, without.

    The variable may be a list, a number for each level of nesting (OpenMP 5.2, 21.1.2); what is no number is no wish.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0
