"""Two processes on Gloo learn what one learns from the same batches.

Steps are those of gradient descent without momentum, so that weights agree only where gradients do. Networks normalize
each image alone: batch norm takes the statistics of its own process's batch, which are others than those of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite import distributed as idist
from monai.data import DataLoader, Dataset
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler
from torch.utils.data.distributed import DistributedSampler

from bus_monai.errors import UserError
from bus_monai.losses.adversarial import BCEObjective, WassersteinObjective
from bus_monai.losses.mutual_supervision import MutualSupervision
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.base import ResumableTrainer, plain, share_buffers, validation_sampler
from bus_monai.trainers.mutual_supervision import MutualSupervisionTrainer, TwoPhases
from bus_monai.trainers.parts import Discriminator, Generator, Learner, Updates, learners
from bus_monai.trainers.schedule import Blocked, Interleaved, Paired, Schedule

SIDE, STEPS, BATCH = 16, 5, 8
RATE = 0.5


def net(channels: int) -> nn.Module:
    """Three layers, without chance and without statistics of a batch."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1)
    )


def loader(seed: int, processes: int) -> DataLoader:
    """Batches whose union over the processes is the batch of one."""
    images = torch.rand(STEPS * BATCH, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    data = Dataset([{"image": image, "label": (image > 0.7).float()} for image in images])
    sampler: Sampler | None = DistributedSampler(data, shuffle=False) if processes > 1 else None
    return DataLoader(data, batch_size=BATCH // processes, sampler=sampler)


def descend(*nets: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(one.parameters(), RATE) for one in nets]


def adversarial(processes: int, wrap: Callable[[nn.Module], nn.Module], kind: str) -> ResumableTrainer:
    g, d = wrap(net(1)), wrap(net(2))
    g_optimizer, d_optimizer = descend(g, d)
    schedules: dict[str, Schedule] = {"blocked": Blocked(), "interleaved": Interleaved(n_critic=2)}
    return AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=loader(0, processes),
        generator=Generator(network=g, optimizer=g_optimizer),
        region_loss=DiceLoss(sigmoid=True),
        discriminator=Discriminator(
            network=d,
            optimizer=d_optimizer,
            objective=WassersteinObjective(clip_value=0.3) if kind in schedules else BCEObjective(),
            batches="separate" if kind == "separate" else "joint",
        ),
        schedule=schedules.get(kind, Paired()),
        weights={"region": 1.0, "adversarial": 0.5},
        # low enough to bind, so that it must be the norm of the mean gradient
        updates=Updates(max_grad_norm=0.2),
    )


def mutual(processes: int, wrap: Callable[[nn.Module], nn.Module], kind: str) -> ResumableTrainer:
    g, d = [wrap(net(1)) for _ in range(1 if kind == "hung" else 2)], wrap(net(1))
    *g_optimizers, d_optimizer = descend(*g, d)
    return MutualSupervisionTrainer(
        device="cpu",
        max_epochs=2,
        labeled_loader=loader(0, processes),
        unlabeled_loader=loader(1, processes),
        generators=learners(g, g_optimizers),
        discriminator=Learner(network=d, optimizer=d_optimizer),
        # some pixels are trusted and others not, more in one process than in the other
        losses=MutualSupervision(gamma=0.5, confidence="pixel"),
        phases=TwoPhases(phase1_epochs=1, method=kind),
    )


MAKERS = {
    "paired": adversarial,
    "separate": adversarial,
    "blocked": adversarial,
    "interleaved": adversarial,
    "assgan": mutual,
    "hung": mutual,
}


def networks(trainer: ResumableTrainer) -> dict[str, Tensor]:
    parts = [(name, part) for name, part in trainer._stateful_parts() if isinstance(part, nn.Module)]
    return {f"{name}.{key}": value.clone() for name, part in parts for key, value in part.state_dict().items()}


def learn(kind: str, processes: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights before and after."""
    torch.manual_seed(0)
    wrap = (lambda one: DistributedDataParallel(one, broadcast_buffers=False)) if processes > 1 else (lambda one: one)
    trainer = MAKERS[kind](processes, wrap, kind)
    before = networks(trainer)
    trainer.run()
    return before, networks(trainer)


def _learn_in_two(rank: int, kind: str, folder: Path) -> None:
    torch.save(learn(kind, 2)[1], folder / f"{rank}.pt")


def in_two(work: Callable[..., None], folder: Path, *arguments: Any) -> None:
    idist.spawn(
        "gloo", work, args=(*arguments, folder), nproc_per_node=2, start_method="fork",
        init_method=f"file://{folder}/meeting-point",
    )  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
def test_two_learn_what_one_learns(kind: str, tmp_path: Path) -> None:
    in_two(_learn_in_two, tmp_path, kind)
    before, alone = learn(kind, 1)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, atol=1e-5, rtol=0, msg=lambda text, n=name: f"{n}: {text}")
        assert torch.equal(first[name], second[name]), name
    moved = {name.split(".")[0] for name in alone if (alone[name] - before[name]).abs().max() > 1e-3}
    assert moved == {name.split(".")[0] for name in alone}


def _share(rank: int, folder: Path) -> None:
    one = DistributedDataParallel(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), broadcast_buffers=False)
    one(torch.full((2, 1, 2, 2), float(rank + 1)))
    own = plain(one)[1].running_mean.clone()  # type: ignore[index]
    share_buffers([plain(one)])
    samples = list(validation_sampler(Dataset(range(5))))
    try:
        validation_sampler(Dataset([0]))
        words = ""
    except UserError as error:
        words = str(error)
    shared = plain(one)[1].running_mean  # type: ignore[index]
    torch.save({"own": own, "shared": shared, "samples": samples, "words": words}, folder / f"{rank}.pt")


def test_all_validate_the_network_of_the_first_on_shares_without_repeats(tmp_path: Path) -> None:
    in_two(_share, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not torch.equal(first["own"], second["own"])
    assert torch.equal(second["shared"], first["own"])
    assert torch.equal(first["shared"], first["own"])
    assert (first["samples"], second["samples"]) == ([0, 2, 4], [1, 3])
    expected = "The section 'validation' gives 1 items to 2 processes: add cases, or start fewer processes."
    assert first["words"] == second["words"] == expected
