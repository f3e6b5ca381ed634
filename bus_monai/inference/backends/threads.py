"""How many threads a runtime may take."""

from __future__ import annotations

import os


def wanted_threads() -> int:
    """Return the first number of ``OMP_NUM_THREADS``, as PyTorch heeds it by itself; 0, as many as there are, without.

    The variable may be a list, a number for each level of nesting (OpenMP 5.2, 21.1.2); what is no number is no wish.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0
