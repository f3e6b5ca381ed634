"""Make a trained model small and put it into its bundle.

    python -m bus_monai.inference.ship_model BUNDLE:WEIGHTS [DATA [OTHERS ...]]

writes ``models/model.safetensors`` and ``models/graph-KEY`` into the bundle's folder. It needs the extra ``export``.
With DATA, what the model was trained on, it also learns which images it knows, and with OTHERS, folders of images of
other kinds, which it does not.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.bundle.registry import SHIPPED_FILE
from bus_monai.errors import UserError
from bus_monai.inference.backends.chain import GRAPH_FILE
from bus_monai.inference.backends.export_graph import export_graph
from bus_monai.inference.backends.graph import graph_name
from bus_monai.inference.known_images import fit_known_images
from bus_monai.networks.weights import read_weights, save_shipped


def ship_model(spec: str, data: Path | None = None, others: Sequence[Path] = ()) -> tuple[Path, Path]:
    """Write weights and graph of a model into its bundle, in place of those that are there.

    Args:
        spec: ``BUNDLE:WEIGHTS``.
        data: folder of the data set that it was trained on, see
            :func:`~bus_monai.inference.known_images.fit_known_images`; ``None`` leaves what it knows as it is.
        others: images of other kinds, see there.

    Returns:
        The file of weights and the folder of the graph.

    Raises:
        UserError: there is no such model, it is an ensemble, or a graph cannot compute it.
    """
    (model,) = parse_models([spec], segmenters=True)
    if len(model.files) > 1:
        raise UserError(f"'{spec}' is an ensemble, of which none is shipped: give one file of weights.")
    folder = model.bundle / "models"
    weights = folder / SHIPPED_FILE
    state, settings = read_weights(model.files[0]), model.settings
    if data is not None:
        state, settings = fit_known_images(model, data, others)
    save_shipped(state, weights, settings)
    shipped = TrainedModel(model.name, model.bundle, str(weights), settings)
    for old in folder.glob("graph-*"):
        shutil.rmtree(old)
    graph = folder / graph_name(shipped)
    graph.mkdir()
    export_graph(shipped, graph)
    halve_graph(graph / GRAPH_FILE)
    return weights, graph


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


if __name__ == "__main__":
    try:
        folders = [Path(folder) for folder in sys.argv[2:]]
        for written in ship_model(sys.argv[1], folders[0] if folders else None, folders[1:]):
            print(written)
    except UserError as error:
        sys.exit(str(error))
