"""Protocol ``kfold5``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.splits import split_by_group

FOLDS = 5
VALIDATION_SHARE = 0.1
"""Of what is not tested, to choose the best weights by."""


def kfold5(cases: Sequence[Case], seed: int, fold: int = 0) -> Datalist:
    """All images, normal ones included; a fifth is tested, a tenth of the rest validates.

    Args:
        cases: the data set.
        seed: of the split.
        fold: 0 to 4; the five test sets share no case and together hold them all.
    """
    folds = split_by_group(cases, {str(k): 1.0 for k in range(FOLDS)}, seed=seed)
    rest = [case for k, part in folds.items() if k != str(fold) for case in part]
    split = split_by_group(rest, {"training": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}, seed=seed)
    return Datalist.of(split | {"test": folds[str(fold)]})
