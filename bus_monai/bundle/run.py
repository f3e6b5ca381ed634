"""Run a bundle's configs: train, evaluate, or build the parts that infer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import create_workflow
from monai.transforms.compose import Compose
from torch import nn

from bus_monai.bundle.models import TrainedModel, load_network
from bus_monai.bundle.registry import CHECKPOINT_FILE, EVALUATE_CONFIG, INFERENCE_CONFIG, TRAIN_CONFIG
from bus_monai.bundle.settings import keep_null, path_text, read_config

OnEpoch = Callable[[int, float], bool]
"""Epoch and validation score to whether to go on."""


def evaluate_model(model: TrainedModel, folder: Path, settings: Mapping[str, Any]) -> None:
    """Run ``evaluate.json`` of a model's bundle.

    Args:
        model: what to evaluate, under the settings that it was trained with.
        folder: gets the table of cases, its summary and figures.
        settings: further keys of ``evaluate.json``; they go before those of the training.
    """
    workflow = create_workflow(
        config_file=str(model.bundle / "configs" / EVALUATE_CONFIG),
        run_id="evaluating",
        **keep_null(model.overrides(EVALUATE_CONFIG) | dict(settings) | {"output_dir": path_text(folder)}),
    )
    workflow.run()
    workflow.finalize()


def train_run(
    bundle: Path,
    folder: Path,
    overrides: Mapping[str, Any],
    *,
    start: str | None = None,
    on_epoch: OnEpoch | None = None,
) -> float:
    """Train a bundle into ``folder``, from its latest state where there is one.

    Args:
        bundle: folder of the bundle.
        folder: gets weights, history and settings.
        overrides: keys of ``train.json``.
        start: file of weights that the training begins with, else it begins anew; the statistics of their batch norm
            stay, since a few images of one scanner would put worse ones in their place.
        on_epoch: called after every validation; ``False`` ends the training.

    Returns:
        The validation score of the weights that are kept.

    Raises:
        UserError: ``start`` holds the weights of another network.
    """
    workflow = create_workflow(
        config_file=str(bundle / "configs" / TRAIN_CONFIG),
        run_id="training",
        **keep_null(overrides),
        ckpt_dir=path_text(folder),
        output_dir=path_text(folder),
        resume=(folder / CHECKPOINT_FILE).is_file(),
    )
    if start is not None:
        network: nn.Module = workflow.parser.get_parsed_content("network")
        load_network(network, start)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.register_forward_pre_hook(_keep_statistics)
    trainer, evaluator, checkpoint = (
        workflow.parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator", "checkpoint")
    )

    def report(engine: Engine) -> None:
        score = evaluator.state.metrics.get(evaluator.state.key_metric_name)
        if on_epoch is not None and score is not None and not on_epoch(engine.state.epoch, float(score)):
            engine.terminate()

    trainer.add_event_handler(Events.EPOCH_COMPLETED, report)
    workflow.run()
    workflow.finalize()
    return float(checkpoint.best.score)


def _keep_statistics(norm: nn.Module, _inputs: Any) -> None:
    # trainers put the whole network into training mode before each step
    norm.eval()


@dataclass(frozen=True)
class BundleParts:
    """What the inference config of a model makes.

    Args:
        network: with its weights, in evaluation mode, on ``device``.
        before: ``before_network``, transforms of an item with ``image``, between loading and the network.
        inferer: calls the network with inputs (1, 1, h, w).
        after: ``after_network``, transforms of the item with ``pred``, between the network and saving.
        device: where the network computes.
        size: (h, w) that the network was made for.
        settings: those of the config.
    """

    network: nn.Module
    before: Compose
    inferer: Callable[..., Any]
    after: Compose
    device: Any
    size: tuple[int, int]
    settings: dict[str, Any]


def bundle_parts(model: TrainedModel) -> BundleParts:
    """Make the network and the transforms around it from the inference config of a model.

    Raises:
        UserError: the weights are missing, broken or of another network, or a setting is wrong.
    """
    parser = inference_parser(model)
    get = parser.get_parsed_content
    height, width = get("settings#image_size")
    return BundleParts(
        get("network").eval(),
        get("before_network"),
        get("inferer"),
        get("after_network"),
        get("device"),
        (height, width),
        dict(get("settings")),
    )


def inference_parser(model: TrainedModel) -> ConfigParser:
    """Return the ``inference.json`` of a bundle with the model's weights and settings; nothing of it is run."""
    config = read_config(model.bundle / "configs" / INFERENCE_CONFIG)
    chosen = model.overrides(INFERENCE_CONFIG)
    config["settings"] |= {key: value for key, value in chosen.items() if key in config["settings"]}
    config |= {key: value for key, value in chosen.items() if key not in config["settings"]}
    return ConfigParser(config | {"bundle_root": str(model.bundle)})
