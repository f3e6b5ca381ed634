"""Images per second of an epoch of training: the engine against a bare loop, its data, bfloat16 against float32.

    python benchmarks/train_step.py [--bundles lite_unet rdau_gan cgan_ac_caw] [--images 64] [--repeats 5]
    OMP_NUM_THREADS=1 python benchmarks/train_step.py --clock cpu

The engine is that of ``bus-monai train``: the bundle's own ``train.json``, with all of its handlers. The bare loop is
what one would write by hand in PyTorch for the same networks, losses and order of steps, on the same loader. They take
turns epoch by epoch, so that a machine whose speed drifts does not favor one. ``waiting`` is the share of the engine's
time in which it waits for its next batch, ``loading`` the loader alone, and ``first reading`` what decodes the files
and computes all that is kept of them. The end of an epoch (validation of eight images, checkpoint, tables and MLflow)
is told apart. On a processor without fast bfloat16 all of them compute in float32. Where others use the machine,
``--clock cpu`` counts the processor's seconds instead of the wall's.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from gpu_steps import workflow_of
from ignite.engine import Events
from monai.data.dataloader import DataLoader
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from bus_monai.bundle.process import keep_freed_memory
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.settings import read_config
from bus_monai.losses.adversarial import BCEObjective, WassersteinObjective
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.schedule import weight_average

HEAD = (
    "bundle", "pixels", "batch", "bare loop", "engine", "its time in the bare loop's", "waiting", "loading",
    "first reading", "bfloat16 over float32", "end of an epoch, s",
)  # fmt: skip
VALIDATED = 8
Step = Callable[[Tensor, Tensor], None]
Autocast = Callable[[], Any]


def lite(trainer: AdversarialTrainer, autocast: Autocast) -> list[Step]:
    """U-Net without an adversary, with a moving average of its weights."""
    network, region_loss = deepcopy(trainer.generator.network).train(), trainer.region_loss
    optimizer, average = AdamW(network.parameters(), 1e-3), weight_average(network, 0.99)

    def step(x: Tensor, y: Tensor) -> None:
        with autocast():
            output = network(x).float()
        optimizer.zero_grad()
        region_loss(output, y).backward()
        optimizer.step()
        average.update_parameters(network)

    return [step]


def blocked(trainer: AdversarialTrainer, autocast: Autocast) -> list[Step]:
    """RDA-NET-GAN: a pass of steps of the critic, then one of the generator."""
    g, d, g_optimizer, d_optimizer = _pair(trainer, 1e-4, (0.9, 0.999), (0.5, 0.9))
    objective, region_loss = WassersteinObjective(), trainer.region_loss

    def teach_critic(x: Tensor, y: Tensor) -> None:
        d.requires_grad_(True)
        with autocast():
            with torch.no_grad():
                fake = g.eval()(x).float().sigmoid()
            real_scores, fake_scores = d.train()(torch.cat([_beside(x, y), _beside(x, fake)])).float().chunk(2)
        d_optimizer.zero_grad()
        objective.discriminator_loss(real_scores, fake_scores).backward()
        d_optimizer.step()
        objective.after_discriminator_step(d)

    def teach_generator(x: Tensor, y: Tensor) -> None:
        d.eval().requires_grad_(False)
        with autocast():
            logits = g.train()(x).float()
            scores = d(_beside(x, logits.sigmoid())).float()
        g_optimizer.zero_grad()
        (region_loss(logits, y) + 0.001 * objective.generator_loss(scores)).backward()
        g_optimizer.step()

    return [teach_critic, teach_generator]


def paired(trainer: AdversarialTrainer, autocast: Autocast) -> list[Step]:
    """cGAN+AC+CAW: both networks on each batch, on the same prediction."""
    g, d, g_optimizer, d_optimizer = _pair(trainer, 2e-4, (0.5, 0.999), (0.5, 0.999), fused=True)
    objective, region_loss = BCEObjective(), trainer.region_loss
    g.train(), d.train()

    def step(x: Tensor, y: Tensor) -> None:
        d.requires_grad_(True)
        with autocast():
            logits = g(x).float()
            real_logits = d(_beside(x, y)).float()
            fake_logits = d(_beside(x, logits.detach().sigmoid())).float()
        d_optimizer.zero_grad()
        objective.discriminator_loss(real_logits, fake_logits).backward()
        d_optimizer.step()
        d.requires_grad_(False)
        with autocast():
            fake_logits = d(_beside(x, logits.sigmoid())).float()
        g_optimizer.zero_grad()
        (region_loss(logits, y) + objective.generator_loss(fake_logits)).backward()
        g_optimizer.step()

    return [step]


BARE = {"lite_unet": lite, "rdau_gan": blocked, "cgan_ac_caw": paired}
"""For each bundle the steps of its bare loop, each of which is taken on every batch of a pass of its own."""


def _pair(
    trainer: AdversarialTrainer, rate: float, g_betas: tuple[float, float], d_betas: tuple[float, float], **options: Any
) -> tuple[nn.Module, nn.Module, Adam, Adam]:
    assert trainer.discriminator is not None
    g, d = deepcopy(trainer.generator.network), deepcopy(trainer.discriminator.network)
    g_optimizer = Adam(g.parameters(), rate, betas=g_betas, **options)
    return g, d, g_optimizer, Adam(d.parameters(), rate, betas=d_betas, **options)


def _beside(image: Tensor, mask: Tensor) -> Tensor:
    return torch.cat([image, mask], 1)


def by_hand(steps: list[Step], loader: DataLoader) -> Callable[[], None]:
    def epoch() -> None:
        for step in steps:
            for batch in loader:
                step(batch["image"], batch["label"])

    return epoch


def in_bfloat16() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def load(loader: DataLoader) -> None:
    for _ in loader:
        pass


@dataclass
class Measured:
    """Seconds of each epoch but the first, which warms up, by what was done."""

    clock: Callable[[], float]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)

    def time(self, name: str, run: Callable[[], object]) -> None:
        start = self.clock()
        run()
        self.note(name, self.clock() - start)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name][1:])


def measure(trainer: AdversarialTrainer, runs: dict[str, Callable[[], None]], measured: Measured) -> None:
    """Let the engine train, and the others take their turn at the end of each of its epochs."""
    clock = measured.clock
    at: dict[str, float] = {}

    def start() -> None:
        at.update(start=clock(), waiting=0.0)

    def ask() -> None:
        at["asked"] = clock()

    def get() -> None:
        at["waiting"] += clock() - at["asked"]

    def step() -> None:
        at["end"] = clock()

    def end() -> None:
        measured.note("end", clock() - at["end"])
        measured.note("engine", at["end"] - at["start"])
        measured.note("waiting", at["waiting"])
        for name, run in runs.items():
            measured.time(name, run)

    for event, handler in (
        (Events.EPOCH_STARTED, start), (Events.GET_BATCH_STARTED, ask), (Events.GET_BATCH_COMPLETED, get),
        (Events.ITERATION_COMPLETED, step), (Events.EPOCH_COMPLETED, end),
    ):  # fmt: skip
        trainer.add_event_handler(event, handler)
    trainer.run()


def row(name: str, folder: Path, options: argparse.Namespace) -> str:
    bundle, measured = find_bundle(name), Measured(time.process_time if options.clock == "cpu" else time.perf_counter)
    content = read_config(bundle / "configs" / "train.json")
    fixed: dict[str, Any] = {"ckpt_dir": str(folder), "output_dir": str(folder), "device": "cpu"}
    fixed |= {"num_workers": options.num_workers} | ({"dataset_dir": options.data} if options.data else {})
    for part, most in (("train", options.images), ("validate", VALIDATED)):
        all_items = f"{part}_items"
        fixed[all_items] = content[part]["dataset"]["data"]
        # from all over the list, whose first cases may be all of a kind
        fixed[f"{part}#dataset#data"] = f"$@{all_items}[:: max(1, len(@{all_items}) // {most})][:{most}]"
    settings = {"max_epochs": options.repeats + 1, "pretrain_epochs": 0}
    settings |= {"batch_size": min(options.images, content["settings"]["batch_size"])}
    settings |= {"image_size": [options.size] * 2} if options.size else {}
    get = workflow_of(bundle, "train", fixed, settings, whole=True).parser.get_parsed_content
    measured.time("first reading", lambda: get("train#dataset"))
    trainer, loader = get("train#trainer"), get("train#dataloader")
    half = trainer.mixed_precision
    make = BARE[name]
    runs = {
        "bare": by_hand(make(trainer, in_bfloat16 if half else nullcontext), loader),
        "loading": lambda: load(loader),
    }
    if half:
        runs["float32"] = by_hand(make(trainer, nullcontext), loader)
    measure(trainer, runs, measured)

    first, images = next(iter(loader))["image"], len(loader.dataset)
    per_second = {what: images / measured.median(what) for what in ("engine", *runs)}
    waiting = measured.median("waiting") / measured.median("engine")
    cells = (
        name,
        f"{first.shape[2]} x {first.shape[3]}",
        str(len(first)),
        f"{per_second['bare']:.1f}",
        f"{per_second['engine']:.1f}",
        f"{per_second['bare'] / per_second['engine']:.3f}",
        f"{100 * waiting:.1f} %",
        f"{per_second['loading']:.0f}",
        f"{images / measured.seconds['first reading'][0]:.0f}",
        f"{per_second['bare'] / per_second['float32']:.2f}" if half else "-",
        f"{measured.median('end'):.2f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", nargs="+", choices=list(BARE), default=list(BARE))
    parser.add_argument("--data", help="data set; phantoms by default")
    parser.add_argument("--images", type=int, default=64, help="of an epoch, at most as many as there are")
    parser.add_argument("--repeats", type=int, default=5, help="epochs, behind one that warms up")
    parser.add_argument("--size", type=int, help="side of the images; that of the bundle by default")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that load, as the config's num_workers")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    keep_freed_memory()
    print(
        f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, images per second of the "
        f"{'processor' if options.clock == 'cpu' else 'wall'}, PyTorch {torch.__version__}\n"
    )
    print(f"| {' | '.join(HEAD)} |\n| --- | {' | '.join(['---:'] * (len(HEAD) - 1))} |", flush=True)
    for name in options.bundles:
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, Path(folder), options), flush=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
