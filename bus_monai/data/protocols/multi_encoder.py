"""Protocol ``multi_encoder``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.splits import split_by_group

SHARES = {"training": 624, "validation": 78, "test": 78}
"""Images of the multi-encoder U-Net's paper, all 780 of BUSI; here their proportions."""


def multi_encoder(cases: Sequence[Case], seed: int) -> Datalist:
    """All images, normal ones included, 624 : 78 : 78 as in the multi-encoder U-Net."""
    return Datalist.of(split_by_group(cases, SHARES, seed=seed))
