"""Balanced draws: shares of kinds against their formula."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data.samplers import DistributedSampler, DistributedWeightedRandomSampler
from torch.utils.data import TensorDataset

from bus_monai.data.balance import balanced_sampler, balanced_weights
from bus_monai.data.datalist import Case, Diagnosis
from tests.user_errors import raises_user_error


def cases(*kinds: tuple[str, Diagnosis, int]) -> list[Case]:
    return [
        Case(f"{dataset}{diagnosis}{i}", Path(), (), str(i), diagnosis, dataset)
        for dataset, diagnosis, count in kinds
        for i in range(count)
    ]


POOL = cases(("busi", "normal", 4), ("busi", "benign", 8), ("busi", "malignant", 8), ("bus_bra", "benign", 100))


@pytest.mark.parametrize(("balance", "roots"), [(0.0, (4, 16, 100)), (0.5, (2, 4, 10)), (1.0, (1, 1, 1))])
def test_kinds_are_drawn_by_a_power_of_their_number(balance: float, roots: tuple[float, ...]) -> None:
    weights = balanced_weights(POOL, balance)
    shares = [sum(part) / sum(weights) for part in (weights[:4], weights[4:20], weights[20:])]
    assert shares == pytest.approx([root / sum(roots) for root in roots])
    assert sum(weights) == pytest.approx(len(POOL))


@pytest.mark.parametrize("balance", [-0.1, 1.1])
def test_balance_out_of_range(balance: float) -> None:
    with raises_user_error(balance, key="balance"):
        balanced_weights(POOL, balance)


def test_as_many_are_drawn_as_there_are_and_chance_is_torch_s() -> None:
    sampler = balanced_sampler(TensorDataset(torch.zeros(120)), POOL, balance=1.0, distributed=False, seed=0)
    assert sampler is not None
    torch.manual_seed(0)
    first, second = list(sampler), list(sampler)
    torch.manual_seed(0)
    assert list(sampler) == first != second
    assert len(first) == 120
    assert 25 < sum(i < 4 for i in first) < 55


def test_without_balance_items_are_shuffled() -> None:
    dataset = TensorDataset(torch.zeros(120))
    assert balanced_sampler(dataset, POOL, balance=0.0, distributed=False, seed=0) is None


def test_of_several_processes_each_draws_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_available", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    dataset = TensorDataset(torch.zeros(120))
    plain = balanced_sampler(dataset, POOL, balance=0.0, distributed=True, seed=0)
    assert isinstance(plain, DistributedSampler)
    assert not isinstance(plain, DistributedWeightedRandomSampler)
    balanced = balanced_sampler(dataset, POOL, balance=1.0, distributed=True, seed=0)
    assert isinstance(balanced, DistributedWeightedRandomSampler)
    assert len(list(balanced)) == 60


def test_crops_are_not_balanced_by_their_images() -> None:
    with raises_user_error("box", "full", key="balance"):
        balanced_sampler(TensorDataset(torch.zeros(121)), POOL, balance=0.5, distributed=False, seed=0)
