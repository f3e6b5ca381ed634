"""The adversarial trainer: who changes when, what is stored, and that a resumed run equals an undisturbed one."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.losses import DiceLoss
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import nn

from bus_monai.losses.adversarial import BCEObjective
from bus_monai.trainers.adversarial import D_GRADIENT_NORM, G_GRADIENT_NORM, AdversarialTrainer
from bus_monai.trainers.parts import Discriminator, Generator, Updates
from bus_monai.trainers.schedule import Blocked, GeneratorOnly, Interleaved, Paired, Schedule
from tests.trainers.small_run import BATCHES, COUNT, changed, generator, items, loader, make_trainer, stages, weights
from tests.user_errors import raises_user_error


@pytest.mark.parametrize("gan_mode", ["bce", "wgan", "wgan-gp", "parent_literal"])
@pytest.mark.parametrize("conditional", [True, False])
def test_only_the_network_whose_turn_it_is_changes(gan_mode: str, conditional: bool) -> None:
    trainer = make_trainer(gan_mode=gan_mode, conditional=conditional, max_epochs=2)
    snapshots = [weights(trainer)]
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: snapshots.append(weights(trainer)))
    trainer.run()
    turns = [changed(a, b) for a, b in pairwise(snapshots)]
    pretraining = [set()] * BATCHES + [{"g"}] * BATCHES
    assert turns == pretraining + [{"d"}] * BATCHES + [{"g"}] * BATCHES


def test_other_weights_are_taken_without_the_old_ones_moments() -> None:
    trainer = make_trainer(gan_mode="none", max_epochs=1)
    before = copy.deepcopy(trainer.generator.network.state_dict())
    trainer.run()
    assert trainer.generator.optimizer.state
    trainer.start_from(before)
    after = trainer.generator.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not trainer.generator.optimizer.state


def test_interleaved_takes_n_critic_steps_before_each_generator_step() -> None:
    trainer = make_trainer(kind=partial(Interleaved, n_critic=4), max_epochs=1, pretrain_epochs=0)
    order: list[str] = []
    trainer.add_event_handler(AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED, lambda: order.append("d"))
    trainer.add_event_handler(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED, lambda: order.append("g"))
    trainer.run()
    assert order == ["d", "d", "d", "d", "g"] * BATCHES


def test_paired_teaches_the_discriminator_and_then_the_generator_on_one_prediction() -> None:
    trainer = make_trainer(gan_mode="bce", kind=Paired, max_epochs=2, pretrain_epochs=1)
    order: list[str] = []
    predictions: list[torch.Tensor] = []

    def predicted(_net: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        order.append("forward")
        predictions.append(output)

    def judged() -> None:
        order.append("d")
        # what the discriminator saw has the dropout of what the generator learns from
        torch.testing.assert_close(trainer.state.output[AdversarialKeys.FAKES], predictions[-1].detach().sigmoid())

    trainer.generator.network.register_forward_hook(predicted)
    trainer.add_event_handler(AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED, judged)
    trainer.add_event_handler(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED, lambda: order.append("g"))
    trainer.run()
    assert order == ["forward", "g"] * BATCHES + ["forward", "d", "g"] * BATCHES


@pytest.mark.parametrize("batches", ["joint", "separate"])
def test_a_paired_run_that_is_resumed_equals_an_undisturbed_one(batches: str) -> None:
    options = {"gan_mode": "bce", "batches": batches, "max_epochs": 3, "pretrain_epochs": 1}
    whole = make_trainer(kind=Paired, **options)
    whole.run()
    first = make_trainer(kind=Paired, **options)
    states: list[dict] = []
    first.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: states.append(copy.deepcopy(first.state_dict())))
    first.run()
    second = make_trainer(kind=Paired, seed=5, **options)
    second.load_state_dict(states[0])
    second.run()
    expected, got = weights(whole), weights(second)
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_a_blocked_epoch_shows_every_case_once_to_each_network() -> None:
    trainer = make_trainer(max_epochs=1, pretrain_epochs=0)
    seen: list[int] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(len(e.state.output["image"])))
    trainer.run()
    assert seen == [4, 4, 2, 4, 4, 2]


def test_clipping_bounds_every_weight_of_the_critic() -> None:
    trainer = make_trainer(gan_mode="wgan")
    trainer.run()
    clipped = [
        p for m in trainer.discriminator.network if isinstance(m, (nn.Conv2d, nn.Linear)) for p in m.parameters()
    ]
    assert max(float(p.detach().abs().max()) for p in clipped) <= 0.01


def test_output_has_monai_keys_and_scalars() -> None:
    trainer = make_trainer(gan_mode="bce", max_epochs=1, pretrain_epochs=0)
    outputs: list[dict] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(dict(e.state.output)))
    trainer.run()
    d, g = outputs[0], outputs[-1]
    assert d[AdversarialKeys.REAL_LOGITS].shape == (4, 1)
    assert 0 <= float(d["d_accuracy"]) <= 1
    assert float(d[D_GRADIENT_NORM]) > 0
    assert float(g[G_GRADIENT_NORM]) > 0
    expected = g[AdversarialKeys.RECONSTRUCTION_LOSS] + 0.001 * g[AdversarialKeys.GENERATOR_LOSS]
    torch.testing.assert_close(g["loss"], expected)


def test_gradient_clipping_bounds_the_update() -> None:
    g = generator()
    before = copy.deepcopy(g.state_dict())
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(items()), batch_size=COUNT),
        generator=Generator(network=g, optimizer=torch.optim.SGD(g.parameters(), 1.0)),
        region_loss=DiceLoss(sigmoid=True, batch=True),
        updates=Updates(max_grad_norm=1e-3),
    )
    trainer.run()
    parameters = dict(g.named_parameters())
    moved = torch.cat([(parameters[k].detach() - before[k]).flatten() for k in parameters]).norm()
    assert 0 < float(moved) <= 1e-3 * 1.001


@pytest.mark.parametrize("gan_mode", ["none", "wgan", "wgan-gp"])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_resumed_run_equals_undisturbed_run_bit_by_bit(gan_mode: str, stop_after: int) -> None:
    whole = make_trainer(gan_mode=gan_mode, max_epochs=4, pretrain_epochs=2)
    whole.run()

    first = make_trainer(gan_mode=gan_mode, max_epochs=4, pretrain_epochs=2)
    states: list[dict] = []
    first.add_event_handler(
        Events.EPOCH_COMPLETED(once=stop_after), lambda: states.append(copy.deepcopy(first.state_dict()))
    )
    # in the middle of the next epoch
    first.add_event_handler(Events.ITERATION_COMPLETED(once=stop_after * first.state.epoch_length + 2), first.terminate)
    first.run()

    torch.rand(17)  # another process has another random state
    second = make_trainer(gan_mode=gan_mode, max_epochs=4, pretrain_epochs=2, seed=99)
    second.load_state_dict(states[0])
    second.run()
    expected, got = weights(whole), weights(second)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert second.state.epoch == 4


def test_a_finished_run_that_is_resumed_stays_as_it_is() -> None:
    whole = make_trainer(max_epochs=2)
    whole.run()
    before = {key: value.clone() for key, value in weights(whole).items()}
    whole.run()
    assert all(torch.equal(before[key], value) for key, value in weights(whole).items())
    assert whole.state.epoch == 2


def test_another_seed_gives_another_run() -> None:
    one, two = make_trainer(), make_trainer(seed=1)
    one.run()
    two.run()
    assert changed(weights(one), weights(two)) == {"g", "d"}


def test_batch_norm_of_one_image_and_one_pixel_is_one_sentence() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Upsample(size=8))
    item = {"image": torch.rand(1, 8, 8), "label": torch.ones(1, 8, 8)}
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(Dataset([item]), batch_size=1),
        generator=Generator(network=network, optimizer=torch.optim.Adam(network.parameters())),
        region_loss=DiceLoss(sigmoid=True),
    )
    with raises_user_error(2, key="batch_size"):
        trainer.run()


def test_state_of_another_network_is_refused_in_one_sentence() -> None:
    state = make_trainer().state_dict()
    state["g_network"] = nn.Conv2d(1, 2, 3).state_dict()
    with raises_user_error("g_network"):
        make_trainer().load_state_dict(state)


def test_state_without_a_discriminator_is_refused() -> None:
    with raises_user_error("d_network"):
        make_trainer().load_state_dict(make_trainer(gan_mode="none").state_dict())


@pytest.mark.parametrize("schedule", [Blocked(), Paired(), Interleaved(), GeneratorOnly(), None])
@pytest.mark.parametrize("has_adversary", [True, False])
def test_an_adversary_and_a_schedule_that_trains_it_come_together(
    schedule: Schedule | None, has_adversary: bool
) -> None:
    g, d = generator(), nn.Conv2d(2, 1, 3)
    adversary = Discriminator(network=d, optimizer=torch.optim.Adam(d.parameters()), objective=BCEObjective())
    plays = schedule is not None and not isinstance(schedule, GeneratorOnly)

    def make(schedule: Schedule | None = schedule) -> AdversarialTrainer:
        return AdversarialTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=loader(),
            generator=Generator(network=g, optimizer=torch.optim.Adam(g.parameters())),
            region_loss=DiceLoss(sigmoid=True),
            discriminator=adversary if has_adversary else None,
            schedule=schedule,
        )

    if plays and has_adversary:
        with raises_user_error("1", key="pretrain_epochs"):
            make(type(schedule)(pretrain_epochs=1))
    if plays == has_adversary:
        assert make().discriminator is (adversary if has_adversary else None)
        return
    with raises_user_error("discriminator", "schedule"):
        make()


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_mixed_precision_on_a_processor_is_bfloat16_where_that_is_fast(
    fast: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bus_monai.trainers.base.gains_by_half_precision", lambda device: fast)
    with caplog.at_level("WARNING", "bus_monai"):
        trainer = make_trainer(updates=Updates(amp=True), max_epochs=1, pretrain_epochs=0)
    told = [] if fast else ["This processor has no fast bfloat16: training is in float32, which takes longer."]
    assert caplog.messages == told
    dtypes: set[torch.dtype] = set()
    for net in (trainer.generator.network, trainer.discriminator.network):
        net[0].register_forward_hook(lambda module, args, output: dtypes.add(output.dtype))
    trainer.run()
    assert dtypes == {dtype}
    assert all(p.dtype == torch.float32 for p in trainer.generator.network.parameters())


def test_critic_with_batch_norm_tells_real_from_fake() -> None:
    """Real and fake share a batch: apart, batch norm before a linear head makes their mean scores equal for ever."""
    trainer = make_trainer(
        gan_mode="wgan", max_epochs=8, pretrain_epochs=0, weights={"region": 0.0, "adversarial": 0.0}
    )
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    trainer.discriminator = replace(trainer.discriminator, network=network, optimizer=optimizer)
    gaps: list[float] = []
    trainer.add_event_handler(
        AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED,
        lambda: gaps.append(float(trainer.state.output["critic_gap"])),
    )
    trainer.run()
    assert min(gaps[-BATCHES:]) > 1e-5


def test_what_the_user_has_frozen_stays_frozen() -> None:
    trainer = make_trainer(max_epochs=2)
    trainer.generator.network[0].requires_grad_(False)
    before = trainer.generator.network[0].weight.clone()
    trainer.run()
    assert torch.equal(trainer.generator.network[0].weight, before)
    assert not trainer.generator.network[0].weight.requires_grad
    assert trainer.generator.network[4].weight.requires_grad


def test_the_learning_rate_falls_between_epochs_also_after_resuming() -> None:
    """An epoch's handlers see the rate that it had, and a resumed run has the rates of an undisturbed one."""

    def run(epochs: int, state: dict | None = None) -> tuple[list[float], dict]:
        rates: list[float] = []
        trainer = make_trainer(gan_mode="none", pretrain_epochs=0, max_epochs=epochs)
        optimizer = trainer.generator.optimizer
        trainer.lr_schedulers = (torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
        if state is not None:
            trainer.load_state_dict(state)
        trainer.run()
        return rates, trainer.state_dict()

    whole, _ = run(4)
    assert whole == [1e-2, 5e-3, 2.5e-3, 1.25e-3]
    first, state = run(2)
    assert first + run(4, state)[0] == whole


def test_a_stage_ends_with_its_last_epoch() -> None:
    assert stages(make_trainer(max_epochs=3, pretrain_epochs=1)) == [
        ("pre-training", 1),
        ("training", 3),
        ("training", 3),
    ]
