"""The published data protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.splits import split_by_group
from bus_monai.errors import UserError

RDAU_SHARES = {"training": 538, "validation": 50, "test": 57}
"""Images of RDA-NET-GAN (Enobun et al.), 645 in all; here their proportions."""


def rdau(cases: Sequence[Case], seed: int = 0) -> Datalist:
    """Images with a lesion, split by group in the proportions 538 : 50 : 57 of RDA-NET-GAN."""
    tumours = [case for case in cases if case.diagnosis != "normal"]
    split = split_by_group(tumours, RDAU_SHARES, seed=seed)
    return Datalist(training=split["training"], validation=split["validation"], test=split["test"])


PROTOCOLS: dict[str, Callable[[Sequence[Case], int], Datalist]] = {"rdau": rdau}


def apply_protocol(name: str, cases: Sequence[Case], seed: int) -> Datalist:
    """Split cases by the protocol of a name.

    Raises:
        UserError: unknown name.
    """
    if name not in PROTOCOLS:
        raise UserError(f"protocol is {name!r}: use one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name](cases, seed)
