"""ASSGAN's trainer: who learns when and from what, what is counted, and a resumed run equals an undisturbed one."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise, repeat
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.transforms import RandFlipd
from monai.utils.enums import AdversarialKeys
from torch import nn

from bus_monai.losses.mutual_supervision import GAMMAS, MutualSupervision
from bus_monai.trainers.mutual_supervision import (
    MutualSupervisionTrainer,
    SemiSupervisedBatches,
    TwoPhases,
    semi_supervised_batches,
)
from bus_monai.trainers.parts import Learner, learners
from tests.trainers.small_run import stages
from tests.user_errors import raises_user_error

SIDE, LABELED, UNLABELED, BATCH = 8, 4, 7, 2
LENGTH = 4
PHASES = TwoPhases.__dataclass_fields__.keys()


def loader(count: int, *, labels: bool) -> DataLoader:
    rng = np.random.default_rng(count)
    items: list[dict[str, Any]] = []
    for image in torch.from_numpy(rng.random((count, 1, SIDE, SIDE), dtype=np.float32)):
        items.append({"image": image, "label": (image > 0.5).float()} if labels else {"image": image})
    keys = ["image", "label"] if labels else ["image"]
    return DataLoader(Dataset(items, RandFlipd(keys, prob=0.5)), batch_size=BATCH, shuffle=True)


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(2, 1, 1)
    )


def make_trainer(
    *,
    labeled: int = LABELED,
    unlabeled: int = UNLABELED,
    generators: int = 2,
    discriminator: bool = True,
    seed: int = 0,
    gamma: float = 0.5,
    confidence: str = "mask_mean",
    **options: Any,
) -> MutualSupervisionTrainer:
    torch.manual_seed(7)
    nets = [generator() for _ in range(generators)]
    d = nn.Conv2d(1, 1, 4, stride=2, padding=1) if discriminator else None
    phases = {"phase1_epochs": 1} | {name: options.pop(name) for name in PHASES & options.keys()}
    return MutualSupervisionTrainer(
        device="cpu",
        labeled_loader=loader(labeled, labels=True),
        unlabeled_loader=loader(unlabeled, labels=False) if unlabeled else None,
        generators=learners(nets, [torch.optim.Adam(g.parameters(), 1e-2) for g in nets]),
        phases=TwoPhases(**phases),
        discriminator=d and Learner(network=d, optimizer=torch.optim.Adam(d.parameters(), 1e-2)),
        losses=MutualSupervision(gamma=gamma, confidence=confidence),
        seed=seed,
        **({"max_epochs": 2} | options),
    )


def weights(trainer: MutualSupervisionTrainer) -> dict[str, torch.Tensor]:
    nets = {str(i): generator.network for i, generator in enumerate(trainer.generators, start=1)}
    if trainer.discriminator is not None:
        nets["d"] = trainer.discriminator.network
    return {f"{n}.{k}": v.clone() for n, net in nets.items() for k, v in net.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> str:
    return "".join(sorted({key[0] for key in before if not torch.equal(before[key], after[key])}))


@pytest.mark.parametrize(
    ("options", "phase1", "phase2"),
    [
        ({}, "12d", "12d"),
        ({"phase2_update_d": False}, "12d", "12"),
        ({"phase2_update_d": False, "phase2_use_labeled": False}, "12d", "12"),
        ({"discriminator": False}, "12", "12"),
        ({"generators": 1}, "1d", "1d"),
        ({"generators": 1, "method": "hung"}, "1d", "1d"),
    ],
)
def test_who_learns_in_each_phase(options: dict[str, Any], phase1: str, phase2: str) -> None:
    trainer = make_trainer(**options)
    snapshots = [weights(trainer)]
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: snapshots.append(weights(trainer)))
    trainer.run()
    turns = [changed(a, b) for a, b in pairwise(snapshots)]
    # two batches of labeled images in phase 1, four of unlabeled ones in phase 2
    assert turns == [phase1] * 2 + [""] * 2 + [phase2] * LENGTH


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [2, 2, 0, 0, 4, 4, 4, 3]),
        ({"phase2_use_labeled": False, "phase2_update_d": False}, [2, 2, 0, 0, 2, 2, 2, 1]),
        ({"discriminator": False, "method": "supervised"}, [2, 2, 0, 0, 2, 2, 2, 2]),
        ({"discriminator": False, "method": "supervised", "unlabeled": 0}, [2, 2, 2, 2]),
    ],
)
def test_images_of_each_iteration(options: dict[str, Any], sizes: list[int]) -> None:
    trainer = make_trainer(**options)
    seen: list[int] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(len(e.state.output.get("image", []))))
    trainer.run()
    assert seen == sizes


@pytest.mark.parametrize(
    ("options", "kept_after", "told"),
    [
        ({"max_epochs": 2}, 1, []),
        ({"max_epochs": 1}, 1, ["No unlabeled image is seen: max_epochs is not above phase1_epochs, 1."]),
        ({"max_epochs": 1, "discriminator": False, "method": "supervised"}, 0, []),
    ],
)
def test_a_training_without_phase_2_is_told(
    options: dict[str, Any], kept_after: int, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "bus_monai"):
        assert make_trainer(**options).kept_after == kept_after
    assert caplog.messages == told


def test_the_papers_two_steps_of_phase_1() -> None:
    """With SGD and no batch norm's noise: down the cross-entropy first, then down the adversarial loss from there."""

    def trained(**options: Any) -> tuple[nn.Module, dict[str, Any]]:
        trainer = make_trainer(generators=1, max_epochs=1, labeled=2, weights={"adversarial": 0.5}, **options)
        torch.manual_seed(1)
        network = nn.Conv2d(1, 1, 3, padding=1)
        trainer.generators = (Learner(network=network, optimizer=torch.optim.SGD(network.parameters(), 0.1)),)
        output: dict[str, Any] = {}
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: output.update(e.state.output))
        start, critic = copy.deepcopy(network), copy.deepcopy(trainer.discriminator.network)
        trainer.run()
        return expected(start, critic, output, options), network

    def expected(network: nn.Module, critic: Any, output: dict[str, Any], options: dict[str, Any]) -> nn.Module:
        sgd, losses = torch.optim.SGD(network.parameters(), 0.1), MutualSupervision()
        ce = lambda: nn.functional.binary_cross_entropy_with_logits(network(output["image"]), output["label"])  # noqa: E731
        adversarial = lambda: 0.5 * losses.adversarial_loss(critic(network(output["image"]).sigmoid()))  # noqa: E731
        steps = [ce, adversarial] if options else [lambda: ce() + adversarial()]
        for step in steps:
            sgd.zero_grad()
            step().backward()
            sgd.step()
        return network

    for options in ({}, {"separate_ce_step": True}):
        reference, network = trained(**options)
        for one, other in zip(reference.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("confidence", ["mask_mean", "pixel"])
@pytest.mark.parametrize(("gamma", "count"), [(1e-9, UNLABELED), (1 - 1e-9, 0)])
def test_trusted_images_are_counted_anew_each_epoch(gamma: float, count: int, confidence: str) -> None:
    trainer = make_trainer(gamma=gamma, confidence=confidence, max_epochs=3)
    counts: list[tuple[int, float, float]] = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda e: counts.append((e.state.phase, e.state.gamma, float(e.state.trusted_images))),
    )
    trainer.run()
    assert counts == [(1, gamma, 0.0), (2, gamma, count), (2, gamma, count)]


class Batches(nn.Module):
    """A generator that keeps the sizes of its batches, and is sure in places of soft masks."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        return self.scale * (x - 0.5)


def test_labeled_and_unlabeled_images_do_not_meet_in_a_batch_norm() -> None:
    trainer = make_trainer(generators=1, discriminator=True)
    network = Batches()
    trainer.generators = (Learner(network=network, optimizer=torch.optim.SGD(network.parameters(), 0.0)),)
    trainer.run()
    assert network.sizes == [2, 2] + [2, 2] * 3 + [2, 1]


@pytest.mark.parametrize(("hard", "trusted"), [(True, UNLABELED), (False, 0)])
def test_scores_of_masks_or_of_the_probabilities_behind_them(hard: bool, trusted: int) -> None:
    """A discriminator that takes for real whatever is 0 or 1 throughout."""
    trainer = make_trainer(generators=1, method="hung", hard_scores=hard, phase2_update_d=False)
    network = Batches()
    trainer.generators = (Learner(network=network, optimizer=torch.optim.SGD(network.parameters(), 0.0)),)

    class Softness(nn.Module):
        def forward(self, mask: torch.Tensor) -> torch.Tensor:
            return 1 - 1000 * (mask * (1 - mask)).amax(dim=(1, 2, 3), keepdim=True)

    trainer.discriminator = replace(trainer.discriminator, network=Softness())
    trainer.phases = replace(trainer.phases, phase1_epochs=0)
    trainer.run()
    assert float(trainer.state.trusted_images) == trusted


@pytest.mark.parametrize(("binarized", "hard"), [(False, 0), (True, 2)])
def test_a_discriminator_learns_fakes_as_probabilities_and_as_they_teach(binarized: bool, hard: int) -> None:
    """So it cannot tell them from true masks by their softness alone."""
    seen: list[torch.Tensor] = []

    class Recording(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled() and self.weight.requires_grad:
                seen.append(x.detach().clone())
            y: torch.Tensor = super().forward(x)
            return y

    trainer = make_trainer(generators=1, max_epochs=1, labeled=2, binarized_fakes=binarized)
    critic = Recording(1, 1, 4, stride=2, padding=1)
    trainer.discriminator = Learner(network=critic, optimizer=torch.optim.SGD(critic.parameters(), 0.1))
    trainer.run()
    (masks,) = seen
    real, soft, binary = masks[:2], masks[2:4], masks[4:]
    assert bool(((real == 0) | (real == 1)).all())
    assert bool(((soft > 0) & (soft < 1)).all())
    assert len(binary) == hard
    assert torch.equal(binary, (soft[:hard] > 0.5).float())


@pytest.mark.parametrize("confidence", ["mask_mean", "pixel"])
def test_images_that_would_be_trusted_over_gamma(confidence: str) -> None:
    trainer = make_trainer(confidence=confidence, gamma=0.5)
    trainer.run()
    counts = trainer.state.trusted_over_gamma.tolist()
    assert counts == sorted(counts, reverse=True)
    assert counts[GAMMAS.index(0.5)] == pytest.approx(float(trainer.state.trusted_images))
    assert max(counts) <= trainer.state.judged_images == UNLABELED


def test_without_a_discriminator_every_mask_is_trusted() -> None:
    trainer = make_trainer(discriminator=False)
    trainer.run()
    assert float(trainer.state.trusted_images) == UNLABELED


def test_terms_add_up_to_the_loss() -> None:
    trainer = make_trainer(gamma=1e-9, weights={"semi": 0.5})
    outputs: list[dict[str, Any]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(dict(e.state.output)))
    trainer.run()
    for output, has_semi in ((outputs[0], False), (outputs[-1], True)):
        terms = (output[AdversarialKeys.RECONSTRUCTION_LOSS], output[AdversarialKeys.GENERATOR_LOSS])
        torch.testing.assert_close(output["loss"], sum(terms) + 0.5 * output["semi_loss"])
        assert bool(output["semi_loss"] > 0) is has_semi
        assert 0 < float(output["realism_real"]) < 1
        assert 0 < float(output["realism_fake"]) < 1


def test_each_network_needs_an_optimizer() -> None:
    with raises_user_error("2 networks", "0 optimizers"):
        learners([generator(), generator()], [])


def test_generators_teach_each_other_and_hung_itself() -> None:
    """One that is sure of the whole image drags the other along, but not itself."""
    losses = {}
    for method, generators in (("assgan", 2), ("hung", 1)):
        trainer = make_trainer(generators=generators, method=method, gamma=1e-9)
        logits = [torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), -1.0)][:generators]
        trainer._start_epoch()
        losses[method] = [float(v) for v in trainer._semi(logits, [torch.zeros(1, 1, 2, 2)] * generators)]
    away, own = np.log1p(np.exp(3.0)), np.log1p(np.exp(-3.0))
    assert losses["assgan"] == pytest.approx([away, np.log1p(np.exp(1.0))], rel=1e-6)
    assert losses["hung"] == pytest.approx([own], rel=1e-6)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"generators": 1, "method": "hung"}])
def test_resumed_run_equals_undisturbed_run_bit_by_bit(options: dict[str, Any], stop_after: int) -> None:
    lengths = {"max_epochs": 4, "phase1_epochs": 2}
    whole = make_trainer(**options, **lengths)
    whole.run()

    first = make_trainer(**options, **lengths)
    states: list[dict[str, Any]] = []
    first.add_event_handler(
        Events.EPOCH_COMPLETED(once=stop_after), lambda: states.append(copy.deepcopy(first.state_dict()))
    )
    # in the middle of the next epoch
    first.add_event_handler(Events.ITERATION_COMPLETED(once=stop_after * LENGTH + 1), first.terminate)
    first.run()

    torch.rand(17)  # another process has another random state
    second = make_trainer(**options, **lengths, seed=99)
    second.load_state_dict(states[0])
    second.run()
    expected, got = weights(whole), weights(second)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert (second.state.epoch, second.state.phase, second.stage) == (4, 2, "phase 2")
    assert float(second.state.trusted_images) == float(whole.state.trusted_images)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"unlabeled": 0}, ["assgan", "unlabeled", "labeled_fraction", "supervised"]),
        ({"method": "mean_teacher"}, ["mean_teacher", "assgan", "hung", "supervised"]),
        ({"generators": 3}, ["3 generators"]),
        ({"method": "hung"}, ["hung", "num_generators", 1]),
        ({"method": "supervised"}, ["supervised", "use_discriminator"]),
        ({"phase2_use_labeled": False}, ["phase2_update_d", "phase2_use_labeled"]),
        ({"phase2_use_labeled": False, "generators": 1, "discriminator": False}, ["phase2_use_labeled"]),
    ],
)
def test_parts_that_do_not_go_together(options: dict[str, Any], named: list[object]) -> None:
    with raises_user_error(*named):
        make_trainer(**options)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_every_unlabeled_batch_once_beside_the_labeled_in_turn(known: int, unknown: int, more: int) -> None:
    length = max(known, unknown) + more
    batches = list(semi_supervised_batches(repeat(range(known)), repeat(range(unknown)), length=length))
    assert batches == [(i % known, i) for i in range(unknown)] + [(None, None)] * (length - unknown)


def test_one_kind_alone() -> None:
    empty = SemiSupervisedBatches()
    assert list(semi_supervised_batches(repeat("ab"), None, length=3)) == [("a", None), ("b", None), empty]
    assert list(semi_supervised_batches(None, repeat("xy"), length=3)) == [(None, "x"), (None, "y"), empty]


def test_a_stage_ends_with_its_last_epoch() -> None:
    assert stages(make_trainer(max_epochs=3, phase1_epochs=2)) == [("phase 1", 2), ("phase 1", 2), ("phase 2", 3)]
