"""The interface of backends, and their number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bus_monai.geometry.box import Region

Sensitivity: TypeAlias = Literal["high", "balanced", "specific"]
"""Where on the curve of lesions found against normal images marked, from the most of both to the fewest."""
SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)
SHIFTS_KEY, SENSITIVITY_KEY, KNOWN_KEY = "presence_shifts", "sensitivity", "known_groups"
"""Settings of a model: the shift of its gate at each sensitivity, which is taken, and groups of known images."""
Precision: TypeAlias = Literal["fast", "fp32"]
"""``fast`` is bfloat16 where the processor computes in it."""


class Prediction(NamedTuple):
    """What a model says of an image.

    Args:
        probability: float32 (H, W) in [0, 1], of lesion.
        distance: from the images that the model knows, in units within which nearly all of them lie; 0 where it
            cannot tell.
    """

    probability: NDArray[np.float32]
    distance: float = 0.0


class Backend(Protocol):
    """From gray pixels (H, W) float32 in [0, 1] to a prediction, for any H and W."""

    name: str

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment one screen.

        Args:
            pixels: (H, W).
            regions: where its images are; a model whose chain crops to them sees each alone, and finds them where
                there are none.
        """
        ...


def wanted_threads() -> int:
    """Return the first number of ``OMP_NUM_THREADS``, as PyTorch heeds it by itself; 0, as many as there are, without.

    The variable may be a list, a number for each level of nesting (OpenMP 5.2, 21.1.2); what is no number is no wish.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Of processors that multiply integers of eight bits several times as fast as floats, as Linux names them."""


def multiplies_int8() -> bool:
    """Tell whether this processor is one of those; where the system does not say it, it is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not INT8_FLAGS.isdisjoint(flags.split())
