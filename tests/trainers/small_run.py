"""Small adversarial runs, and what they changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.losses import DiceLoss
from monai.transforms import Compose, RandFlipd, RandGaussianNoised
from torch import nn

from bus_monai.losses.adversarial import make_objective
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.base import ResumableTrainer
from bus_monai.trainers.parts import Discriminator, Generator
from bus_monai.trainers.schedule import Blocked, GeneratorOnly, Schedule

SIDE, COUNT, BATCH = 16, 10, 4
BATCHES = 3


def items() -> list[dict]:
    rng = np.random.default_rng(0)
    images = rng.random((COUNT, 1, SIDE, SIDE), dtype=np.float32)
    return [{"image": torch.from_numpy(i), "label": (torch.from_numpy(i) > 0.5).float()} for i in images]


def loader() -> DataLoader:
    augment = Compose([RandFlipd(["image", "label"], prob=0.5), RandGaussianNoised("image", prob=0.5)])
    return DataLoader(Dataset(items(), augment), batch_size=BATCH, shuffle=True)


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(4, 1, 1)
    )


def critic(channels: int = 2) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2), nn.LeakyReLU(), nn.InstanceNorm2d(4), nn.Flatten(), nn.LazyLinear(1)
    )


def make_trainer(
    *,
    gan_mode: str = "wgan",
    conditional: bool = True,
    batches: str = "joint",
    kind: Callable[..., Schedule] = Blocked,
    pretrain_epochs: int = 1,
    seed: int = 0,
    **options,
) -> AdversarialTrainer:
    torch.manual_seed(7)
    g, discriminator, objective = generator(), None, make_objective(gan_mode)
    if objective is not None:
        d = critic(1 + conditional)
        d(torch.zeros(1, 1 + conditional, SIDE, SIDE))
        discriminator = Discriminator(
            network=d,
            optimizer=torch.optim.Adam(d.parameters(), 1e-2),
            objective=objective,
            conditional=conditional,
            batches=batches,
        )
    return AdversarialTrainer(
        device="cpu",
        train_data_loader=loader(),
        generator=Generator(network=g, optimizer=torch.optim.Adam(g.parameters(), 1e-2)),
        region_loss=DiceLoss(sigmoid=True, batch=True),
        discriminator=discriminator,
        schedule=(GeneratorOnly if gan_mode == "none" else kind)(pretrain_epochs=pretrain_epochs),
        seed=seed,
        **({"max_epochs": 3} | options),
    )


def weights(trainer: AdversarialTrainer) -> dict[str, torch.Tensor]:
    nets = {"g": trainer.generator.network}
    if trainer.discriminator is not None:
        nets["d"] = trainer.discriminator.network
    return {f"{n}.{k}": v.clone() for n, net in nets.items() for k, v in net.state_dict().items()}


def changed(before: dict, after: dict) -> set[str]:
    return {key[0] for key in before if not torch.equal(before[key], after[key])}


def stages(trainer: ResumableTrainer) -> list[tuple[str, int]]:
    """Run a trainer; return each epoch's stage, and where that ends."""
    seen: list[tuple[str, int]] = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append((trainer.stage, trainer.stage_end)))
    trainer.run()
    return seen
