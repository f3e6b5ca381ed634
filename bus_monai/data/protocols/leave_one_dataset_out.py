"""Protocol ``leave_one_dataset_out``."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.splits import split_by_group
from bus_monai.errors import UserError

VALIDATION_SHARE = 0.1


def leave_one_dataset_out(cases: Sequence[Case], seed: int, dataset: str) -> Datalist:
    """All images of one data set are tested; the others are learnt from, a tenth of them validates.

    Args:
        cases: of several data sets.
        seed: of the split.
        dataset: the one to test on.

    Raises:
        UserError: no case is of this data set, or all are.
    """
    names = sorted({case.dataset for case in cases})
    if dataset not in names or len(names) < 2:
        raise UserError(
            f"The protocol leave_one_dataset_out cannot leave out '{dataset}' of the data sets {', '.join(names)}: "
            "give a folder with two or more data sets, each in a folder of its own, and name one of them."
        )
    rest = [case for case in cases if case.dataset != dataset]
    split = split_by_group(rest, {"training": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}, seed=seed)
    return Datalist.of(split | {"test": [case for case in cases if case.dataset == dataset]})
