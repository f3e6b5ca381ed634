"""Dice of nnU-Net's recipe on the same split, size and time, to hold the bundles' figures against.

    python benchmarks/yardstick.py BUSI --out OUT [--protocol cgan_ac_caw] [--size 256] [--minutes 45]

MONAI's ``DynUNet``, as nnU-Net plans it in 2D (Isensee et al., Nature Methods 2021, doi 10.1038/s41592-020-01008-z): 32
to 512 channels, halved until 4 pixels are left, instance norm, leaky ReLU, deep supervision with halved weights, Dice +
cross-entropy, SGD with Nesterov momentum 0.99 from 0.01 by (1 - t)^0.9, z-scores of each image, its augmentations as
MONAI has them, no selection of an epoch. The rate falls with the minutes of a core, so that they are used whole. The
test images are scored at their own size; OUT/cases.csv is a table of cases as ``bus-monai evaluate`` writes it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from monai.data.dataloader import DataLoader
from monai.data.dataset import CacheDataset, Dataset
from monai.losses.dice import DiceCELoss
from monai.losses.ds_loss import DeepSupervisionLoss
from monai.networks.nets.dynunet import DynUNet
from monai.transforms import (
    Compose,
    NormalizeIntensityd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
    Resized,
)
from torch import Tensor, nn
from tqdm import tqdm

from bus_monai.data.dataset import load_dataset, section_items
from bus_monai.io.atomic import write_json
from bus_monai.metrics import CaseRow, score_case, summarize_all, write_case_table
from bus_monai.transforms import LoadMasksd, LoadUltrasoundd

KEYS = ("image", "label")
BATCH = 12
RATE, MOMENTUM, WEIGHT_DECAY, POWER = 0.01, 0.99, 3e-5, 0.9
MAX_WIDTH, MIN_SIDE = 512, 4


def network(size: int) -> nn.Module:
    """Return the planned network: stages until the map has 4 pixels per side."""
    stages = 1
    while size >> stages >= MIN_SIDE:
        stages += 1
    strides = [1] + [2] * (stages - 1)
    made: nn.Module = DynUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * stages,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=[min(32 << stage, MAX_WIDTH) for stage in range(stages)],
        norm_name=("INSTANCE", {"affine": True}),
        deep_supervision=True,
        deep_supr_num=stages - 3,
    )
    return made


def chains(size: int) -> tuple[Compose, Compose]:
    """Return what is done to an image once, and what at each turn of training."""
    # nnU-Net's chances and ranges; low resolution and smoothing as it has them, by image
    plain = [
        LoadUltrasoundd("image"),
        LoadMasksd(),
        Resized(KEYS, (size, size), mode=("bilinear", "nearest-exact")),
        NormalizeIntensityd("image"),
    ]
    random = [
        RandAffined(
            KEYS,
            prob=0.36,
            rotate_range=3.14,
            scale_range=((-0.3, 0.4),) * 2,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        RandGaussianNoised("image", prob=0.1, std=0.3),
        RandGaussianSmoothd("image", prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0)),
        RandScaleIntensityd("image", factors=0.25, prob=0.15),
        RandSimulateLowResolutiond("image", prob=0.25, zoom_range=(0.5, 1.0), upsample_mode="bilinear"),
        RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        RandFlipd(KEYS, prob=0.5, spatial_axis=0),
        RandFlipd(KEYS, prob=0.5, spatial_axis=1),
    ]
    return Compose(plain), Compose(random)


def train(items: list[dict[str, object]], size: int, minutes: float) -> tuple[nn.Module, float]:
    """Train for minutes of a core; return the network and how many epochs they were."""
    plain, random = chains(size)
    data = Dataset(CacheDataset(items, plain, progress=False), random)
    loader: DataLoader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    net = network(size).train()
    loss = DeepSupervisionLoss(DiceCELoss(sigmoid=True, batch=True), weight_mode="exp")
    optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    begun, steps, spent = time.process_time(), 0, 0.0
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed} {postfix}") as bar:
        while spent < 1:
            for batch in loader:
                for group in optimizer.param_groups:
                    group["lr"] = RATE * (1 - spent) ** POWER
                maps = torch.unbind(net(batch["image"].as_tensor()), dim=1)
                total = loss(list(maps), batch["label"].as_tensor())
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 12)
                optimizer.step()
                steps, spent = steps + 1, (time.process_time() - begun) / 60 / minutes
                bar.update(min(round(100 * spent), 100) - bar.n)
                bar.set_postfix_str(f"epoch {steps / len(loader):.1f}, loss {float(total.detach()):.3f}")
                if spent >= 1:
                    break
    return net.eval(), steps / len(loader)


@torch.no_grad()
def probability(net: nn.Module, image: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the mean of the image's and its mirrored images' probability (H, W), as nnU-Net's test has it."""
    axes: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))
    total = sum(net(image.flip(flip)).flip(flip).sigmoid() for flip in axes)
    assert isinstance(total, Tensor)
    return F.interpolate(total / len(axes), shape, mode="bilinear")[0, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--protocol", default="cgan_ac_caw")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=45.0, help="of a core, to train")
    options = parser.parse_args()
    torch.manual_seed(0)
    split = load_dataset(options.data, protocol=options.protocol)
    net, epochs = train(section_items(split, "training"), options.size, options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), options.out / "model.pt")
    whole = Compose([LoadUltrasoundd("image"), LoadMasksd()])
    shown, _ = chains(options.size)
    rows = []
    for case, item in zip(tqdm(split.test), section_items(split, "test"), strict=True):
        truth = whole(item)["label"][0].as_tensor()
        found = probability(net, shown(item)["image"].as_tensor()[None], truth.shape)
        rows.append(CaseRow.of(score_case(found, truth), id=case.id, group=case.group, diagnosis=case.diagnosis))
    write_case_table(options.out / "cases.csv", rows)
    dice = summarize_all(rows)["lesion"]["metrics"]["dice"]
    write_json(options.out / "summary.json", {"epochs": epochs, "dice": dice})
    count = sum(value.numel() for value in net.parameters())
    print(f"{epochs:.1f} epochs, {count:,} parameters, Dice {dice['mean']:.3f} [{dice['low']:.3f}, {dice['high']:.3f}]")


if __name__ == "__main__":
    main()
