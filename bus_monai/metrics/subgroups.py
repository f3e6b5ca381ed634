"""Parts of a table of cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bus_monai.metrics.case_table import CaseRow


def by_diagnosis(rows: Sequence[CaseRow]) -> dict[str, list[CaseRow]]:
    """Return the cases with a lesion by diagnosis, in alphabetical order."""
    lesions = [row for row in rows if row.has_lesion]
    return {name: [r for r in lesions if r.diagnosis == name] for name in sorted({r.diagnosis for r in lesions})}


def by_lesion_size(rows: Sequence[CaseRow]) -> dict[str, list[CaseRow]]:
    """Return the cases with a lesion in thirds by the share of the image that it fills.

    Shares, not pixels, so that images of different size compare. Fewer than three cases are not divided.
    """
    lesions = [row for row in rows if row.has_lesion]
    if len(lesions) < 3:
        return {}
    shares = np.array([row.true_area_px / (row.tp + row.fp + row.fn + row.tn) for row in lesions])
    first, second = np.quantile(shares, [1 / 3, 2 / 3])
    third = np.digitize(shares, [first, second], right=True)
    names = (
        f"small, up to {first:.1%} of the image",
        f"medium, up to {second:.1%}",
        f"large, up to {shares.max():.1%}",
    )
    parts = {name: [r for r, t in zip(lesions, third, strict=True) if t == i] for i, name in enumerate(names)}
    return {name: part for name, part in parts.items() if part}
