"""What computes a probability map."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Precision: TypeAlias = Literal["fast", "fp32"]
"""``fast`` is bfloat16 where the processor computes in it."""


class Backend(Protocol):
    """From grey pixels (H, W) float32 in [0, 1] to probabilities (H, W) float32 in [0, 1], for any H and W."""

    name: str

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segment one image."""
        ...
