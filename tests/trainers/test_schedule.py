"""Rates over the epochs: one cycle, and pre-training to its end."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Events
from monai.optimizers import WarmupCosineSchedule
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from bus_monai.bundle.registry import list_bundles
from bus_monai.bundle.settings import read_config
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.schedule import (
    END_FACTOR,
    START_FACTOR,
    cosine_rate,
    one_cycle,
    pretraining_rate,
    weight_average,
)
from tests.trainers.small_run import BATCHES, make_trainer, weights
from tests.user_errors import raises_user_error


@given(st.integers(1, 200))
def test_pretraining_comes_to_its_end_before_the_rate_of_what_follows(epochs: int) -> None:
    factor = pretraining_rate(epochs=epochs, rate=1e-3, then=1e-4)
    rates = [1e-4 * factor(epoch) for epoch in range(epochs)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] <= 1e-3 * (1 + math.cos(math.pi * (1 - 1 / epochs))) / 2 + 1e-9
    assert [factor(epoch) for epoch in (epochs, epochs + 7)] == [1.0, 1.0]


def test_rates_of_pretraining_are_positive() -> None:
    with raises_user_error(0, key="pretrain_lr"):
        pretraining_rate(epochs=1, rate=0, then=1e-4)


@given(st.integers(1, 200))
def test_one_rise_and_one_fall_between_the_ends(epochs: int) -> None:
    factors = [one_cycle(epochs)(epoch) for epoch in range(epochs)]
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[0] == pytest.approx(START_FACTOR)
    assert factors[-1] == pytest.approx(END_FACTOR if epochs > 1 else START_FACTOR)


@pytest.mark.parametrize("warm_up", [0, 3])
def test_a_cosine_is_that_of_the_libraries(warm_up: int) -> None:
    def rates(scheduler: LRScheduler) -> list[float]:
        found = []
        for _ in range(8):
            found += scheduler.get_last_lr()
            scheduler.optimizer.step()
            scheduler.step()
        return found

    made = [torch.optim.SGD([torch.zeros(1)], lr=0.3) for _ in range(2)]
    other = (
        WarmupCosineSchedule(made[0], warm_up, 8, warmup_multiplier=0.1) if warm_up else CosineAnnealingLR(made[0], 8)
    )
    assert rates(LambdaLR(made[1], cosine_rate(8, warm_up=warm_up))) == pytest.approx(rates(other))


def test_no_state_of_a_bundle_holds_a_number_of_epochs() -> None:
    configs = [read_config(info.root / "configs" / "train.json") for info in list_bundles()]
    made = [config["lr_scheduler"]["_target_"] for config in configs if "lr_scheduler" in config]
    assert len(made) >= 3
    assert set(made) == {"torch.optim.lr_scheduler.LambdaLR"}


@pytest.mark.parametrize("of_earlier_version", [False, True])
def test_a_run_goes_on_with_the_rate_of_its_new_length(of_earlier_version: bool) -> None:
    def trainer(epochs: int, planned: int, earlier: bool = False) -> AdversarialTrainer:
        made = make_trainer(gan_mode="none", max_epochs=epochs, pretrain_epochs=0)
        optimizer = made.generator.optimizer
        other = CosineAnnealingLR(optimizer, planned)
        made.lr_schedulers = (other if earlier else LambdaLR(optimizer, cosine_rate(planned)),)
        return made

    killed = trainer(3, 4, of_earlier_version)
    killed.run()
    seen = []
    resumed = trainer(8, 8)
    resumed.load_state_dict(copy.deepcopy(killed.state_dict()))
    resumed.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.extend(resumed.lr_schedulers[0].get_last_lr()))
    resumed.run()
    assert seen == pytest.approx([1e-2 * cosine_rate(8)(epoch) for epoch in range(3, 8)])


def test_a_run_that_goes_on_as_planned_has_the_same_weights() -> None:
    def trainer(epochs: int) -> AdversarialTrainer:
        made = make_trainer(gan_mode="none", max_epochs=epochs, pretrain_epochs=0)
        made.lr_schedulers = (LambdaLR(made.generator.optimizer, cosine_rate(4, warm_up=2)),)
        return made

    whole, killed, resumed = trainer(4), trainer(2), trainer(4)
    whole.run()
    killed.run()
    resumed.load_state_dict(copy.deepcopy(killed.state_dict()))
    resumed.run()
    assert all(torch.equal(value, weights(resumed)[key]) for key, value in weights(whole).items())


def test_a_run_may_go_on_for_longer_than_it_was_planned() -> None:
    def scheduler(epochs: int) -> LambdaLR:
        return LambdaLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), one_cycle(epochs))

    first = scheduler(2)
    for _ in range(2):
        first.optimizer.step()
        first.step()
    longer = scheduler(11)
    longer.load_state_dict(first.state_dict())
    longer.optimizer.step()
    longer.step()
    assert longer.get_last_lr() == [1.0]


def test_first_update_copies_and_the_next_keep_a_share_that_rises() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = weight_average(network, 0.9)
    for value in (1.0, 2.0, 4.0):
        network.weight.data.fill_(value)
        average.update_parameters(network)
    # 1, then 2/11 of it + 9/11 of 2, then 3/12 of that + 9/12 of 4
    assert float(average.module.weight) == pytest.approx(38 / 11)
    average.n_averaged.fill_(81)  # from here on 0.9
    network.weight.data.fill_(0)
    average.update_parameters(network)
    assert float(average.module.weight) == pytest.approx(0.9 * 38 / 11)


def test_without_decay_it_is_the_network() -> None:
    network = nn.BatchNorm1d(2)
    average = weight_average(network, 0)
    for _ in range(3):
        network(torch.randn(4, 2))
        average.update_parameters(network)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(average.module.state_dict()[key], value)


def test_resumed_run_has_the_same_average_bit_by_bit() -> None:
    def trainer(epochs: int):
        made = make_trainer(gan_mode="none", max_epochs=epochs, pretrain_epochs=0)
        made.generator = replace(made.generator, average=weight_average(made.generator.network, 0.9))
        return made

    whole = trainer(3)
    whole.run()
    killed = trainer(1)
    killed.run()
    resumed = trainer(3)
    resumed.load_state_dict(copy.deepcopy(killed.state_dict()))
    resumed.run()
    assert int(whole.generator.average.n_averaged) == 3 * BATCHES
    expected = whole.generator.average.state_dict()
    for key, value in resumed.generator.average.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert not torch.equal(whole.generator.average.module[0].weight, whole.generator.network[0].weight)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_outside_its_range_is_one_sentence(decay: float) -> None:
    with raises_user_error(decay, 0, 1, key="ema_decay"):
        weight_average(nn.Linear(1, 1), decay)
