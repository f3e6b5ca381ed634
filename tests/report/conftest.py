"""Tables of cases to report on."""

from __future__ import annotations

import numpy as np
import pytest

from bus_monai.data.datalist import Diagnosis
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.segmentation import score_case


def make_table(seed: int, noise: float, cases: int = 24) -> list[CaseRow]:
    """Disks of all sizes, predicted the worse the larger ``noise`` is; every sixth case is normal."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:48, :64]
    table = []
    for i in range(cases):
        normal = i % 6 == 5
        distance = np.hypot(rows - 24, columns - 20 - i % 20)
        radius = 4 + i % 12
        truth = (distance < radius) & (not normal)
        logits = (radius + rng.normal(0, noise) - distance) - (12 if normal else 0) + rng.normal(0, 0.5, distance.shape)
        diagnosis: Diagnosis = "normal" if normal else ("benign", "malignant")[i % 2]
        scores = score_case(1 / (1 + np.exp(-logits)), truth)
        table.append(CaseRow.of(scores, id=f"c{i:02d}", group=f"g{i // 2}", diagnosis=diagnosis))
    return table


@pytest.fixture(scope="session")
def good() -> list[CaseRow]:
    return make_table(0, 0.5)


@pytest.fixture(scope="session")
def bad() -> list[CaseRow]:
    return make_table(1, 4.0)
