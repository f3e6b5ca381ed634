"""Sampling in which no data set and no kind of image outweighs the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from monai.data.samplers import DistributedSampler, DistributedWeightedRandomSampler
from torch.utils.data import Dataset, Sampler, WeightedRandomSampler

from bus_monai.data.datalist import Case
from bus_monai.errors import UserError, check_number


def balanced_weights(cases: Sequence[Case], balance: float) -> list[float]:
    """Return how often each case is drawn; the mean is 1.

    The images of one data set with a lesion, and those without, are a kind each. A kind of n images is drawn in
    proportion to n to the power ``1 - balance``: 0 draws all images alike, 1 draws all kinds alike.

    Args:
        cases: what is trained on.
        balance: in [0, 1].

    Raises:
        UserError: ``balance`` outside its range.

    Example:
        >>> from pathlib import Path
        >>> kinds = ["normal"] + 4 * ["benign"]
        >>> cases = [Case(str(i), Path(), (), str(i), kind) for i, kind in enumerate(kinds)]
        >>> [round(weight, 3) for weight in balanced_weights(cases, 0.5)]
        [1.667, 0.833, 0.833, 0.833, 0.833]
    """
    check_number("balance", balance, at_least=0, at_most=1)
    kinds = [(case.dataset, case.diagnosis == "normal") for case in cases]
    counts = Counter(kinds)
    weights = [counts[kind] ** -balance for kind in kinds]
    return [weight * len(weights) / sum(weights) for weight in weights]


def balanced_sampler(
    dataset: Dataset[Any], cases: Sequence[Case], *, balance: float, distributed: bool, seed: int
) -> Sampler[int] | None:
    """Return the sampler of an epoch, which draws as many items as there are.

    Args:
        dataset: of the cases, in their order.
        cases: what is trained on.
        balance: as in :func:`balanced_weights`; 0 draws each item once.
        distributed: whether this process is one of several, each of which draws its share.
        seed: of the shares.

    Returns:
        The sampler, or ``None`` where plain shuffling is meant.

    Raises:
        UserError: ``balance`` outside its range, or above 0 where the items are crops and no longer the cases.
    """
    weights = balanced_weights(cases, balance)
    # torch's Dataset promises no length, though every one with items by number has it
    if balance and len(dataset) != len(weights):  # type: ignore[arg-type]
        raise UserError("balance weighs whole images: set it to 0, or box to full.", key="balance")
    if not distributed:
        return WeightedRandomSampler(weights, len(weights)) if balance else None
    sampler: Sampler[int] = (
        DistributedWeightedRandomSampler(dataset, weights=weights, seed=seed)
        if balance
        else DistributedSampler(dataset, seed=seed)
    )
    return sampler
