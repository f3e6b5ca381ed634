"""Protocol ``rdau``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.protocols.tumours import tumours
from bus_monai.data.splits import split_by_group

SHARES = {"training": 538, "validation": 50, "test": 57}
"""Images of RDA-NET-GAN (Enobun et al.), 645 in all; here their proportions."""


def rdau(cases: Sequence[Case], seed: int) -> Datalist:
    """Images with a lesion, in the proportions 538 : 50 : 57 of RDA-NET-GAN."""
    return Datalist.of(split_by_group(tumours(cases), SHARES, seed=seed))
