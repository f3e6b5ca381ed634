"""Make a trained model small and put it into its bundle.

    python -m bus_monai.inference.ship_model BUNDLE:WEIGHTS [DATA [OTHERS ...]] [--findings CASES ...] [--name NAME]
        [--int8 IMAGES ...]

writes ``models/model.safetensors`` and ``models/graph-KEY`` into the bundle's folder. It needs the extra ``export``.
With a name the weights become ``models/NAME.safetensors`` beside the bundle's own, which ``BUNDLE:NAME`` speaks of, and
their graph is made where they are first used.
With DATA, what the model was trained on, it also learns which images it knows, and with OTHERS, folders of images of
other kinds, which it does not. With the tables ``cases.csv`` of evaluations of the same recipe on images that were held
out it learns the chance that what it finds is a lesion.
With IMAGES, folders or data sets, the graph can also be computed in eight bits, in the ranges that its values have on
them; without, those that were found for the same weights stay.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from monai.bundle.scripts import create_workflow
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.bundle.registry import SHIPPED_FILE, TRAIN_CONFIG
from bus_monai.bundle.run import inference_parser
from bus_monai.bundle.settings import keep_null, path_text
from bus_monai.data.dataset import default_dataset_dir, load_dataset, to_items
from bus_monai.data.items import inference_items
from bus_monai.errors import UserError
from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE, INT8_FILE, Chain
from bus_monai.inference.backends.export_graph import export_graph
from bus_monai.inference.predictor import graph_name
from bus_monai.inference.quantize import calibrate_int8, export_images
from bus_monai.metrics.case_table import read_case_table
from bus_monai.metrics.findings import CALIBRATION_KEY, fit_calibration
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.networks.weights import read_weights, save_shipped
from bus_monai.transforms.image_region import find_regions


def ship_model(
    spec: str,
    data: Path | None = None,
    others: Sequence[Path] = (),
    tables: Sequence[Path] = (),
    name: str | None = None,
    int8: Sequence[Path] = (),
) -> list[Path]:
    """Write weights and graph of a model into its bundle, in place of those that are there.

    Args:
        spec: ``BUNDLE:WEIGHTS``.
        data: folder of the data set that it was trained on, see
            :func:`~bus_monai.inference.ship_model.fit_known_images`; ``None`` leaves what it knows as it is.
        others: images of other kinds, see there.
        tables: ``cases.csv`` of evaluations without a calibration; none leave that of the model as it is.
        name: of weights beside the bundle's own.
        int8: images on which the ranges of eight bits are found, see
            :func:`~bus_monai.inference.quantize.calibrate_int8`; ``()`` keeps those of the same weights.

    Returns:
        The file of weights, and the folder of the graph where they are the bundle's own.

    Raises:
        UserError: there is no such model, it is an ensemble, a graph cannot compute it, or a table cannot be read or
            has findings of one kind alone.
    """
    (model,) = parse_models([spec], segmenters=True)
    if len(model.files) > 1:
        raise UserError(f"'{spec}' is an ensemble, of which none is shipped: give one file of weights.")
    folder = model.bundle / "models"
    weights = folder / (f"{name}.safetensors" if name else SHIPPED_FILE)
    state, settings = read_weights(model.files[0]), model.settings
    if data is not None:
        state, settings = fit_known_images(model, data, others)
    if tables:
        settings = settings | {CALIBRATION_KEY: _calibration(tables)}
    before = weights.read_bytes() if weights.is_file() else b""
    save_shipped(state, weights, settings)
    if name:
        return [weights]
    shipped = TrainedModel(model.name, model.bundle, str(weights), settings)
    ranges = b""
    for old in folder.glob("graph-*"):
        if (old / INT8_FILE).is_file() and weights.read_bytes() == before:
            ranges = (old / INT8_FILE).read_bytes()
        shutil.rmtree(old)
    graph = folder / graph_name(shipped)
    graph.mkdir()
    export_graph(shipped, graph)
    halve_graph(graph / GRAPH_FILE)
    if int8:
        images = _calibration_images(shipped, int8)
        calibrate_int8(graph / GRAPH_FILE, Chain.read(graph / CHAIN_FILE), images).write(graph / INT8_FILE)
    elif ranges:
        (graph / INT8_FILE).write_bytes(ranges)
    return [weights, graph]


def _calibration_images(model: TrainedModel, sources: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
    for source in sources:
        known, _ = export_images(model, source, calibrate=True)
        for pixels in (image.pixels() for image in known):
            for region in find_regions(pixels):
                yield np.where(region.inside(), pixels[region.box.slices], np.float32(0))


def _calibration(tables: Sequence[Path]) -> list[float]:
    """Return slope and intercept of the chance that a finding is a lesion, with four digits."""
    findings = [finding for table in tables for row in read_case_table(table) for finding in row.findings]
    try:
        fitted = fit_calibration(findings)
    except ValueError as error:
        raise UserError(f"'{tables[0]}' and the like cannot calibrate: {error}") from error
    return [round(fitted.slope, 4), round(fitted.intercept, 4)]


def halve_graph(path: Path) -> None:
    """Store what half precision holds without loss in half precision; the graph computes the same, in float32."""
    model = onnx.load(path)
    graph = model.graph
    casts = []
    for stored in graph.initializer:
        value = numpy_helper.to_array(stored)
        if value.dtype == np.float32 and value.ndim > 1:
            half = value.astype(np.float16)
            if np.array_equal(half.astype(np.float32), value):
                name = stored.name
                stored.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
                casts.append(helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)


KNOWN_GROUPS = 3
"""Images of the training as they are, the same augmented, and phantoms, with which everything is tried out."""


KNOWN_MARGIN = 1.18
"""Images up to so many times as far as the farthest of the training are known: those of a scanner that nothing was
learned from lie 1.1 times as far, photographs and films 1.5 times and more (docs/experiments/lite_unet.md)."""


def fit_known_images(
    model: TrainedModel, data: Path, others: Sequence[Path] = ()
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and settings of a model that can tell how far an image is from those that it was trained on.

    Args:
        model: of a bundle whose network is a :class:`~bus_monai.networks.lite_unet.LiteUNet`.
        data: folder of the data set that it was trained on, of which the section for training is taken.
        others: folders of images of other kinds, which look so like those that their distance alone does not tell.

    Raises:
        UserError: the model has another network, or the data set cannot be read.
    """
    settings = model.settings | {"known_groups": KNOWN_GROUPS, "other_groups": len(others)}
    parser = inference_parser(TrainedModel(model.name, model.bundle, model.weights, settings))
    network = parser.get_parsed_content("network_def")
    if not isinstance(network, LiteUNet):
        raise UserError(f"'{model.name}' has no network that knows images: leave DATA out.")
    network.load_state_dict(network.state_dict() | read_weights(model.files[0]))
    plain = parser.get_parsed_content("preprocessing")
    learned = load_dataset(data, protocol=settings["protocol"], seed=settings["seed"]).training
    phantoms = load_dataset(default_dataset_dir(), protocol="all_train").training
    network.eval().fit_distance(
        [
            _images(to_items(learned), plain),
            _images(to_items(learned), _augmentation(model, data)),
            _images(to_items(phantoms), plain),
        ],
        [_images(inference_items(folder, ""), plain) for folder in others],
        margin=KNOWN_MARGIN,
    )
    return network.state_dict(), settings


def _augmentation(model: TrainedModel, data: Path) -> Any:
    """Return the transforms of the training."""
    config = model.bundle / "configs" / TRAIN_CONFIG
    with tempfile.TemporaryDirectory() as folder:
        out = {"ckpt_dir": path_text(folder), "output_dir": path_text(folder), "dataset_dir": path_text(data)}
        overrides = {key: value for key, value in model.overrides(config.name).items() if key != "ckpt_path"}
        workflow = create_workflow(config_file=str(config), run_id="training", **keep_null(overrides | out))
        chain = workflow.parser.get_parsed_content("train#preprocessing")
        workflow.finalize()
    return chain


def _images(items: Sequence[Mapping[str, Any]], chain: Any) -> Iterator[Tensor]:
    for item in items:
        yield chain(item)["image"].as_tensor()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m bus_monai.inference.ship_model", description=__doc__)
    arguments.add_argument("model", metavar="BUNDLE:WEIGHTS")
    arguments.add_argument("data", nargs="?", type=Path, help="folder of the data set that it was trained on")
    arguments.add_argument("others", nargs="*", type=Path, help="folders of images of other kinds")
    arguments.add_argument(
        "--findings", nargs="+", type=Path, default=[], metavar="CASES", help="tables of evaluations on held-out images"
    )
    arguments.add_argument("--name", help="of weights beside the bundle's own")
    arguments.add_argument(
        "--int8", nargs="+", type=Path, default=[], metavar="IMAGES", help="on which ranges of eight bits are found"
    )
    given = arguments.parse_intermixed_args()
    try:
        for written in ship_model(given.model, given.data, given.others, given.findings, given.name, given.int8):
            print(written)
    except UserError as error:
        sys.exit(str(error))
