"""Protocols: how the cases of a data set are split into training, validation and test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bus_monai.data.datalist import Case, Datalist, split_by_group
from bus_monai.errors import UserError, check_choice, check_number

logger = logging.getLogger("bus_monai")
ASSGAN_SHARES = {"training": 547, "validation": 50, "test": 50}
"""Tumor images of BUSI in ASSGAN (Zhai et al., Neurocomputing 493, 2022); of the first, 100 are labeled."""
ASSGAN_LABELED = 100 / 547
VALIDATION_SHARE = 0.1
"""Of the training cases, to follow the training by."""
CGAN_SHARES = {"training": 70, "validation": 10, "test": 20}
"""Percentages of Singh et al. (Expert Systems with Applications, 2020, doi 10.1016/j.eswa.2020.113870)."""
FOLDS = 5
MULTI_ENCODER_SHARES = {"training": 624, "validation": 78, "test": 78}
"""Images of the multi-encoder U-Net's paper, all 780 of BUSI; here their proportions."""
RDAU_SHARES = {"training": 538, "validation": 50, "test": 57}
"""Images of RDA-NET-GAN (Enobun et al.), 645 in all; here their proportions."""


def tumors(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that are not normal."""
    return [case for case in cases if case.diagnosis != "normal"]


def assgan(cases: Sequence[Case], seed: int, labeled: float = ASSGAN_LABELED) -> Datalist:
    """Images with a lesion, 547 : 50 : 50, of whose first part only a share keeps its masks.

    Args:
        cases: the data set.
        seed: of the split.
        labeled: share of the first part that is labeled; ASSGAN's main protocol has 100 of 547 images.
    """
    split = split_by_group(tumors(cases), ASSGAN_SHARES, seed=seed)
    parts = split_by_group(split["training"], {"training": labeled, "unlabeled": 1 - labeled}, seed=seed)
    return Datalist.of(split | parts)


def keep_labels(datalist: Datalist, fraction: float | None, *, seed: int = 0) -> Datalist:
    """Let a share of the training images keep their masks; the others become unlabeled, whole groups at a time.

    Args:
        datalist: of any data set.
        fraction: share in (0, 1] of all that have masks in ``training`` and ``unlabeled``, as in table 8 of ASSGAN
            (Zhai et al., Neurocomputing 493, 2022, doi 10.1016/j.neucom.2022.04.021). ``None`` leaves the sections as
            they are, and takes the share of ASSGAN's main protocol, 100 of 547, where nothing is unlabeled.
        seed: of the choice.

    Returns:
        The datalist with other sections ``training`` and ``unlabeled``. Images that never had a mask stay unlabeled.

    Raises:
        UserError: ``fraction`` outside of (0, 1], or fewer than two groups to choose from.
    """
    if fraction is not None:
        hint = "or null for the sections of the data set"
        check_number("labeled_fraction", fraction, above=0, at_most=1, hint=hint)
    if fraction is None and datalist.unlabeled:
        return datalist
    share = ASSGAN_LABELED if fraction is None else fraction
    known = [*datalist.training, *(case for case in datalist.unlabeled if _has_label(case))]
    never = [case for case in datalist.unlabeled if not _has_label(case)]
    if share == 1:
        return replace(datalist, training=sorted(known, key=lambda case: case.id), unlabeled=never)
    parts = split_by_group(known, {"training": share, "unlabeled": 1 - share}, seed=seed)
    if fraction is None:
        logger.warning(
            "The data set has no unlabeled images: only %d of %d training images keep their masks; give "
            "labeled_fraction for another share, 1 for all.",
            len(parts["training"]),
            len(known),
        )
    return replace(datalist, training=parts["training"], unlabeled=never + parts["unlabeled"])


def _has_label(case: Case) -> bool:
    return bool(case.masks) or case.diagnosis == "normal"


def all_train(cases: Sequence[Case], seed: int) -> Datalist:
    """All images are trained on, for a model that ships: how good it is, ``kfold5`` tells.

    A tenth validates as well, so that there is a curve; what it shows is seen in training, and there is no test.

    Args:
        cases: the data set.
        seed: of the choice of the tenth.
    """
    tenth = split_by_group(cases, {"validation": VALIDATION_SHARE, "rest": 1 - VALIDATION_SHARE}, seed=seed)
    return Datalist.of({"training": cases, "validation": tenth["validation"]})


def kfold5(cases: Sequence[Case], seed: int, fold: int = 0) -> Datalist:
    """All images, normal ones included; a fifth is tested, a tenth of the rest validates.

    Args:
        cases: the data set.
        seed: of the split.
        fold: 0 to 4; the five test sets share no case and together hold them all.
    """
    folds = split_by_group(cases, {str(k): 1.0 for k in range(FOLDS)}, seed=seed)
    rest = [case for k, part in folds.items() if k != str(fold) for case in part]
    return _tested_on(folds[str(fold)], rest, seed)


def leave_one_dataset_out(cases: Sequence[Case], seed: int, dataset: str) -> Datalist:
    """All images of one data set are tested; the others are learned from, a tenth of them validates.

    What is of a group with a tested image, such as its copy in another data set, is left out with a warning.

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
    test, others = ([case for case in cases if (case.dataset == dataset) is tested] for tested in (True, False))
    known = {case.group for case in test}
    rest = [case for case in others if case.group not in known]
    if len(rest) < len(others):
        logger.warning(
            "Left out: %d images of other data sets that are copies of images of '%s'", len(others) - len(rest), dataset
        )
    return _tested_on(test, rest, seed)


def _by_shares(shares: Mapping[str, float], *, normal: bool) -> Callable[[Sequence[Case], int], Datalist]:
    """Return the split into sections of these shares, with normal images or without."""
    return lambda cases, seed: Datalist.of(split_by_group(cases if normal else tumors(cases), shares, seed=seed))


def _tested_on(test: Sequence[Case], rest: Sequence[Case], seed: int) -> Datalist:
    split = split_by_group(rest, {"training": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}, seed=seed)
    return Datalist.of(split | {"test": test})


@dataclass(frozen=True)
class Protocol:
    """A way to split a data set.

    Args:
        split: from cases and seed to sections; with one more argument where ``parameter`` says so.
        summary: what it does, in a line.
        parameter: what may stand behind a colon after the name.
        read: turns that text into the argument; raises ``ValueError`` where it cannot.
        required: whether the parameter must be given.
    """

    split: Callable[..., Datalist]
    summary: str
    parameter: str | None = None
    read: Callable[[str], float | int | str] | None = None
    required: bool = False


def _fold(text: str) -> int:
    if int(text) not in range(FOLDS):
        raise ValueError
    return int(text)


def _share(text: str) -> float:
    if not 0 < float(text) < 100:
        raise ValueError
    return float(text) / 100


PROTOCOLS: dict[str, Protocol] = {
    "rdau": Protocol(_by_shares(RDAU_SHARES, normal=False), "tumors, 538 : 50 : 57 (RDA-NET-GAN)"),
    "cgan_ac_caw": Protocol(_by_shares(CGAN_SHARES, normal=False), "tumors, 70 : 10 : 20 (cGAN+AC+CAW)"),
    "assgan": Protocol(
        assgan,
        "tumors, 100 labeled + 447 unlabeled : 50 : 50 (ASSGAN)",
        "percentage of the labeled, such as assgan:5",
        _share,
    ),
    "multi_encoder": Protocol(
        _by_shares(MULTI_ENCODER_SHARES, normal=True), "all images, 624 : 78 : 78 (multi-encoder U-Net)"
    ),
    "kfold5": Protocol(kfold5, "all images, 5 folds", "fold from 0 to 4, such as kfold5:3", _fold),
    "all_train": Protocol(all_train, "all images are trained on and none is tested, for a model that ships"),
    "leave_one_dataset_out": Protocol(
        leave_one_dataset_out,
        "all images, one data set is tested",
        "data set that is tested, such as leave_one_dataset_out:bus_uclm",
        str,
        required=True,
    ),
}


def apply_protocol(name: str, cases: Sequence[Case], seed: int) -> Datalist:
    """Split cases by the protocol of a name, which may carry a parameter after a colon.

    Raises:
        UserError: unknown name, or a parameter that the protocol does not take.
    """
    key, colon, text = name.partition(":")
    check_choice("protocol", key, list(PROTOCOLS))
    protocol = PROTOCOLS[key]
    if not colon and not protocol.required:
        return protocol.split(cases, seed)
    if protocol.read is None:
        raise UserError(f"protocol is {name!r}, but {key} takes no parameter: leave ':{text}' out.")
    try:
        if not text:
            raise ValueError
        return protocol.split(cases, seed, protocol.read(text))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"protocol is {name!r}: give {key} the {protocol.parameter}.") from error
