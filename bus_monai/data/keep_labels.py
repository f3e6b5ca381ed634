"""Few labels: training images whose masks are put away."""

from __future__ import annotations

import logging
from dataclasses import replace

from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.protocols.assgan import LABELED
from bus_monai.data.splits import split_by_group
from bus_monai.errors import UserError

logger = logging.getLogger("bus_monai")


def keep_labels(datalist: Datalist, fraction: float | None, *, seed: int = 0) -> Datalist:
    """Let a share of the training images keep their masks; the others become unlabelled, whole groups at a time.

    Args:
        datalist: of any data set.
        fraction: share in (0, 1] of all that have masks in ``training`` and ``unlabeled``, as in table 8 of ASSGAN
            (Zhai et al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021). ``None`` leaves the sections as
            they are, and takes the share of ASSGAN's main protocol, 100 of 547, where nothing is unlabelled.
        seed: of the choice.

    Returns:
        The datalist with other sections ``training`` and ``unlabeled``. Images that never had a mask stay unlabelled.

    Raises:
        UserError: ``fraction`` outside of (0, 1], or fewer than two groups to choose from.
    """
    if fraction is not None and not (isinstance(fraction, int | float) and 0 < fraction <= 1):
        raise UserError(
            f"labeled_fraction is {fraction!r}: give a share above 0 and up to 1, or null for the sections of the data "
            "set."
        )
    if fraction is None and datalist.unlabeled:
        return datalist
    share = LABELED if fraction is None else fraction
    known = [*datalist.training, *(case for case in datalist.unlabeled if _has_label(case))]
    never = [case for case in datalist.unlabeled if not _has_label(case)]
    if share == 1:
        return replace(datalist, training=sorted(known, key=lambda case: case.id), unlabeled=never)
    parts = split_by_group(known, {"training": share, "unlabeled": 1 - share}, seed=seed)
    if fraction is None:
        logger.warning(
            "The data set has no unlabelled images: only %d of %d training images keep their masks; give "
            "labeled_fraction for another share, 1 for all.",
            len(parts["training"]),
            len(known),
        )
    return replace(datalist, training=parts["training"], unlabeled=never + parts["unlabeled"])


def _has_label(case: Case) -> bool:
    return bool(case.masks) or case.diagnosis == "normal"
