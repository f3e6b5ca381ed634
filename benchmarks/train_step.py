"""Images per second of one epoch of RDA-NET-GAN: the engine against a bare loop, and bfloat16 against float32.

    python benchmarks/train_step.py [--images 128] [--repeats 5]

The bare loop is what one would write by hand in PyTorch for the same networks, losses and schedule: a pass of critic
steps, then a pass of generator steps, on the same loader. The variants take turns, so that a machine whose speed drifts
does not favor one. On a processor without fast bfloat16 all of them compute in float32.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from monai.data import DataLoader, Dataset
from monai.losses import DiceLoss

from bus_monai.bundle.process import keep_freed_memory
from bus_monai.losses.adversarial import WassersteinObjective
from bus_monai.networks.discriminators import RDACritic
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.base import gains_by_half_precision
from bus_monai.trainers.parts import Discriminator, Generator, Updates
from bus_monai.trainers.schedule import Blocked

SIZE, BATCH = 128, 32


def parts() -> tuple[torch.nn.Module, torch.nn.Module, torch.optim.Optimizer, torch.optim.Optimizer]:
    torch.manual_seed(0)
    g, d = make_segmenter("rdau"), RDACritic()
    g, d = g.to(memory_format=torch.channels_last), d.to(memory_format=torch.channels_last)
    return g, d, torch.optim.Adam(g.parameters(), 1e-4), torch.optim.Adam(d.parameters(), 1e-4)


def engine(loader: DataLoader, amp: bool) -> Callable[[], None]:
    g, d, g_optimizer, d_optimizer = parts()
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=loader,
        generator=Generator(network=g, optimizer=g_optimizer),
        region_loss=DiceLoss(sigmoid=True, batch=True),
        discriminator=Discriminator(network=d, optimizer=d_optimizer, objective=WassersteinObjective()),
        schedule=Blocked(),
        updates=Updates(amp=amp),
    )

    def epoch() -> None:
        trainer.run()
        trainer.state.max_epochs += 1

    return epoch


def bare(loader: DataLoader, amp: bool) -> Callable[[], None]:
    g, d, g_optimizer, d_optimizer = parts()
    dice = DiceLoss(sigmoid=True, batch=True)

    def epoch() -> None:
        for batch in loader:
            x, y = batch["image"], batch["label"]
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                with torch.no_grad():
                    fake = g.eval()(x).float().sigmoid()
                pairs = torch.cat([torch.cat([x, y], 1), torch.cat([x, fake], 1)])
                real_scores, fake_scores = d.train()(pairs).float().chunk(2)
            d_optimizer.zero_grad()
            (fake_scores.mean() - real_scores.mean()).backward()
            d_optimizer.step()
            with torch.no_grad():
                for p in d.parameters():
                    p.clamp_(-0.01, 0.01)
        d.eval().requires_grad_(False)
        for batch in loader:
            x, y = batch["image"], batch["label"]
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                logits = g.train()(x).float()
                scores = d(torch.cat([x, logits.sigmoid()], 1)).float()
            g_optimizer.zero_grad()
            (dice(logits, y) - 0.01 * scores.mean()).backward()
            g_optimizer.step()
        d.requires_grad_(True)

    return epoch


def ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(one) / statistics.median(other)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=128)
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    keep_freed_memory()
    images = torch.rand(options.images, 1, SIZE, SIZE)
    data = [{"image": image, "label": (image > 0.5).float()} for image in images]
    loader = DataLoader(Dataset(data), batch_size=BATCH, shuffle=True)
    half = gains_by_half_precision(torch.device("cpu"))
    runs = {
        "engine mixed": engine(loader, True),
        "bare loop mixed": bare(loader, half),
        "engine float32": engine(loader, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        print(f"{name:20} {options.images / statistics.median(values):6.1f} images/s")
    ours, by_hand, full = (seconds[name] for name in runs)
    # ratios of medians: a pause of the machine in one epoch of one variant shall not decide
    print(f"overhead of the engine over the bare loop: {100 * (ratio(ours, by_hand) - 1):+.1f} %")
    if half:
        print(f"bfloat16 over float32: {ratio(full, ours):.2f} times")


if __name__ == "__main__":
    main()
