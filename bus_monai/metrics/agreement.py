"""Agreement of predicted and true areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus_monai.metrics.case_table import CaseRow


@dataclass(frozen=True)
class BlandAltman:
    """Differences of two measurements over their means (Bland and Altman, Lancet 1986).

    Args:
        mean: (predicted + true area) / 2 of each case, in ``unit``.
        difference: predicted minus true area of each case.
        bias: mean difference.
        low: bias - 1.96 standard deviations, the lower limit of agreement.
        high: bias + 1.96 standard deviations.
        unit: ``mm²`` where the spacing of every case is known, else ``pixels``.
    """

    mean: NDArray[np.float64]
    difference: NDArray[np.float64]
    bias: float
    low: float
    high: float
    unit: str


def bland_altman(rows: Sequence[CaseRow]) -> BlandAltman | None:
    """Compare the areas of the cases with a lesion; ``None`` with fewer than two of them."""
    rows = [row for row in rows if row.has_lesion]
    if len(rows) < 2:
        return None
    known = all(row.true_area_mm2 is not None for row in rows)
    suffix, unit = ("mm2", "mm²") if known else ("px", "pixels")
    predicted, true = (
        np.array([getattr(row, f"{name}_area_{suffix}") for row in rows], dtype=np.float64)
        for name in ("predicted", "true")
    )
    difference = predicted - true
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    return BlandAltman((predicted + true) / 2, difference, bias, bias - spread, bias + spread, unit)
