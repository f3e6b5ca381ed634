"""Protocol ``all_train``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.splits import split_by_group

VALIDATION_SHARE = 0.1
"""Of the training cases, to follow the training by."""


def all_train(cases: Sequence[Case], seed: int) -> Datalist:
    """All images are trained on, for a model that ships: how good it is, ``kfold5`` tells.

    A tenth validates as well, so that there is a curve; what it shows is seen in training, and there is no test.

    Args:
        cases: the data set.
        seed: of the choice of the tenth.
    """
    tenth = split_by_group(cases, {"validation": VALIDATION_SHARE, "rest": 1 - VALIDATION_SHARE}, seed=seed)
    return Datalist.of({"training": cases, "validation": tenth["validation"]})
