"""The training step and the inference of a bundle, by its own configs, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from monai.bundle.scripts import create_workflow
from monai.bundle.workflows import ConfigWorkflow
from monai.utils.enums import CommonKeys as Keys
from torch import nn

from bus_monai.bundle.settings import read_config, set_by_user
from bus_monai.trainers.adversarial import AdversarialTrainer
from bus_monai.trainers.mutual_supervision import MutualSupervisionTrainer

Trainer = AdversarialTrainer | MutualSupervisionTrainer


@dataclass(frozen=True)
class Work:
    """Something to time.

    Args:
        run: does it once.
        images: that one run learns from or segments.
        networks: that may be compiled.
        pixels: (h, w) of an image.
        precision: what the matrices are multiplied in.
    """

    run: Callable[[], object]
    images: int
    networks: list[nn.Module]
    pixels: tuple[int, int]
    precision: str


class OneBatch:
    """In place of :class:`~bus_monai.trainers.base.SeededEpochs`: every pass is the same one batch."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self.batch = next(iter(loader))

    def passes(self, epoch: int) -> Iterator[list[Any]]:
        return repeat([self.batch])


def training_step(bundle: Path, folder: Path, device: torch.device, settings: dict[str, Any]) -> Work:
    """Build the trainer of ``train.json`` and take an epoch over one batch of it, which is a step of each network.

    Args:
        bundle: its folder.
        folder: where the config may write.
        device: where it trains.
        settings: changed keys of the config; those that it has not are left out.

    Raises:
        UserError: a setting is wrong.
    """
    fixed = {"ckpt_dir": str(folder), "output_dir": str(folder), "device": str(device)}
    workflow = workflow_of(bundle, "train", fixed, settings)
    trainer: Trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.epochs = OneBatch(trainer.epochs.loader)  # type: ignore[assignment]
    # the last epoch: behind all warming up, both networks learn
    trainer.state.epoch = trainer.state.max_epochs
    if isinstance(trainer, MutualSupervisionTrainer):
        if trainer.unlabeled_epochs is not None:
            trainer.unlabeled_epochs = OneBatch(trainer.unlabeled_epochs.loader)  # type: ignore[assignment]
        trainer.state.epoch_length = 1
        trainer._start_epoch()
        networks = [generator.network for generator in trainer.generators]
    else:
        trainer.data_loader.batches = 1
        networks = [trainer.generator.network]
    if trainer.discriminator is not None:
        networks.append(trainer.discriminator.network)
    iterations = list(trainer.data_loader)

    def run() -> None:
        for batches in iterations:
            trainer._iteration(trainer, batches)

    run()
    image = trainer.state.output[Keys.IMAGE]
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    precision = half if trainer.mixed_precision else torch.float32
    return Work(run, len(image), networks, tuple(image.shape[-2:]), _name(precision))


def inference(bundle: Path, device: torch.device, batch: int, settings: dict[str, Any]) -> Work:
    """Run the network of ``inference.json`` on a batch, in bfloat16 and channels_last.

    Args:
        bundle: its folder.
        device: where it runs.
        batch: images at once.
        settings: as above.
    """
    workflow = workflow_of(bundle, "inference", {}, settings)
    get = workflow.parser.get_parsed_content
    shape = get("_meta_#network_data_format#inputs#image")
    size = workflow.parser.get("settings#image_size", shape["spatial_shape"])
    network = get("network_def").eval().to(device, memory_format=torch.channels_last)
    image = torch.rand(batch, shape["num_channels"], *size, device=device).to(memory_format=torch.channels_last)

    def run() -> object:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            return network(image)

    return Work(run, batch, [network], (size[0], size[1]), "bfloat16")


def workflow_of(
    bundle: Path, config: str, fixed: dict[str, Any], settings: dict[str, Any], *, whole: bool = False
) -> ConfigWorkflow:
    """Make ready what a config of a bundle says, of which nothing is built yet.

    Args:
        bundle: its folder.
        config: ``train`` or ``inference``.
        fixed: keys of the config, changed or new.
        settings: changed settings; those that it has not are left out.
        whole: as it is run; else one batch is all that is taken, and nothing is looked through or kept before.
    """
    file = bundle / "configs" / f"{config}.json"
    content = read_config(file)
    if not whole:
        caches = [
            name
            for name, part in content.items()
            if isinstance(part, dict) and "num_workers" in part.get("dataset", ())
        ]
        # settings that the rest of ``initialize`` alone uses are named, since one that nothing uses is an error
        named = [f"@settings#{key}" for key in content["settings"]]
        fixed = fixed | {"initialize": ["@config", *named]} | {f"{name}#dataset#cache_num": 0 for name in caches}
    chosen = {key: value for key, value in settings.items() if key in set_by_user(content)}
    kind = {"train": "train", "inference": "infer"}[config]
    return create_workflow(config_file=str(file), workflow_type=kind, **(fixed | chosen))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
