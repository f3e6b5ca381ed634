"""Protocol ``cgan_ac_caw``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.protocols.tumours import tumours
from bus_monai.data.splits import split_by_group

SHARES = {"training": 70, "validation": 10, "test": 20}
"""Percentages of Singh et al. (Expert Systems with Applications, 2020, doi 10.1016/j.eswa.2020.113870)."""


def cgan_ac_caw(cases: Sequence[Case], seed: int) -> Datalist:
    """Images with a lesion, 70 : 10 : 20 as in cGAN+AC+CAW."""
    return Datalist.of(split_by_group(tumours(cases), SHARES, seed=seed))
