"""The exported graph of a model: shipped, cached, or made once. Imports neither torch nor MONAI but to make it."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.cache import cache_folder
from bus_monai.data.whole_folder import whole_folder
from bus_monai.errors import UserError
from bus_monai.inference.model_key import model_key
from bus_monai.inference.models import TrainedModel

GRAPH = "model.onnx"
CHAIN = "chain.json"


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
        if (folder / GRAPH).is_file() and (folder / CHAIN).is_file():
            return folder
    return _make(model, folders[-1])


def _make(model: TrainedModel, folder: Path) -> Path:
    from bus_monai.inference.backends.export_graph import export_graph

    try:
        with whole_folder(folder, last=CHAIN) as partial:
            export_graph(model, partial)
    except OSError as error:
        if not (folder / CHAIN).is_file():  # else another process was faster
            raise UserError(
                f"Cannot write the exported model to '{folder}' ({error.strerror}): free space, or set BUS_MONAI_CACHE "
                "to another folder."
            ) from error
    return folder
