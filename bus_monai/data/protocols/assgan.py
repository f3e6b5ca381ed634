"""Protocol ``assgan``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.protocols.tumours import tumours
from bus_monai.data.splits import split_by_group

SHARES = {"training": 547, "validation": 50, "test": 50}
"""Tumour images of BUSI in ASSGAN (Zhai et al., Neurocomputing 493, 2022); of the first, 100 are labelled."""
LABELED = 100 / 547


def assgan(cases: Sequence[Case], seed: int, labeled: float = LABELED) -> Datalist:
    """Images with a lesion, 547 : 50 : 50, of whose first part only a share keeps its masks.

    Args:
        cases: the data set.
        seed: of the split.
        labeled: share of the first part that is labelled; ASSGAN's main protocol has 100 of 547 images.
    """
    split = split_by_group(tumours(cases), SHARES, seed=seed)
    parts = split_by_group(split["training"], {"training": labeled, "unlabeled": 1 - labeled}, seed=seed)
    return Datalist.of(split | parts)
