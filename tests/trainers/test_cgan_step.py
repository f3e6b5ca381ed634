"""Generator, discriminator and region loss of the cGAN in the adversarial trainer."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.utils.enums import AdversarialKeys

from bus_monai.losses.adversarial import BCEObjective
from bus_monai.losses.region import RegionLoss
from bus_monai.networks.cgan_generator import CGANGenerator
from bus_monai.networks.discriminators import PatchDiscriminator
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.parts import Discriminator, Generator
from bus_monai.trainers.schedule import Paired


@pytest.mark.parametrize("region_loss", [RegionLoss(l1=10, ssim=5), RegionLoss(dice=150), RegionLoss()])
def test_one_step_of_each(region_loss: RegionLoss) -> None:
    torch.manual_seed(0)
    g, d = CGANGenerator(depth=4, base_width=4, ac_channels=2), PatchDiscriminator(base_width=2, tail_padding=1)
    before = {name: p.detach().clone() for name, p in [*g.named_parameters("g"), *d.named_parameters("d")]}
    image = torch.rand(2, 1, 32, 32)
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(Dataset([{"image": i, "label": (i > 0.5).float()} for i in image]), batch_size=2),
        generator=Generator(network=g, optimizer=torch.optim.Adam(g.parameters(), 2e-4, betas=(0.5, 0.999))),
        region_loss=region_loss,
        discriminator=Discriminator(
            network=d,
            optimizer=torch.optim.Adam(d.parameters(), 2e-4, betas=(0.5, 0.999)),
            objective=BCEObjective(),
            batches="separate",
        ),
        schedule=Paired(),
        weights={"region": 1.0, "adversarial": 1.0},
    )
    trainer.run()
    after = dict([*g.named_parameters("g"), *d.named_parameters("d")])
    moved = [name for name, p in after.items() if not torch.equal(p, before[name])]
    assert {name for name in after if name.endswith("weight")} <= set(moved)
    assert trainer.state.output[AdversarialKeys.REAL_LOGITS].shape == (2, 1, 2, 2)
    assert math.isfinite(float(trainer.state.output["loss"]))
