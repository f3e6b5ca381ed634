"""Find a model's exported graph: shipped with its bundle, or made in the cache."""

from __future__ import annotations

from pathlib import Path

from bus_monai.bundle.models import TrainedModel, model_key
from bus_monai.errors import writing
from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE
from bus_monai.io.atomic import cache_folder, whole_folder


def graph_name(model: TrainedModel) -> str:
    """Return the name of the folder of a model's graph, another one for whatever may change a prediction."""
    return f"graph-{model_key(model)[:16]}"


def find_graph(model: TrainedModel) -> Path:
    """Return the folder with ``model.onnx`` and ``chain.json`` of a model.

    A bundle may ship it as ``models/graph-KEY``; else it lies in the cache, where it is made if need be.

    Raises:
        UserError: the model cannot be exported, or the cache cannot be written to.
    """
    name = graph_name(model)
    folders = (model.bundle / "models" / name, cache_folder() / "graphs" / name)
    for folder in folders:
        if (folder / GRAPH_FILE).is_file() and (folder / CHAIN_FILE).is_file():
            return folder
    return _make(model, folders[-1])


def _make(model: TrainedModel, folder: Path) -> Path:
    from bus_monai.inference.backends.export_graph import export_graph  # needs PyTorch, which segmenting does not

    with writing(folder, option="BUS_MONAI_CACHE"):
        try:
            with whole_folder(folder, last=CHAIN_FILE) as partial:
                export_graph(model, partial)
        except OSError:
            if not (folder / CHAIN_FILE).is_file():  # else another process was faster
                raise
    return folder
