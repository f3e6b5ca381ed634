"""Which models a graph computes, and which networks are traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from monai.inferers.inferer import SimpleInferer
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import NormalizeIntensityd

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import bundle_parts
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.export_graph import chain_of, export_graph, obstacle, traceable
from tests.inference.backends.tiny_graph import CHAIN, tiny_network
from tests.user_errors import raises_user_error


def test_what_no_graph_computes_is_named(model: TrainedModel) -> None:
    parts = bundle_parts(model)
    assert obstacle(parts) is None
    assert chain_of(parts) == Chain((32, 32))
    assert obstacle(replace(parts, settings=parts.settings | {"speckle": "lee"})) == "speckle=lee"
    steps = Compose([*parts.before.flatten().transforms, NormalizeIntensityd("image")])
    assert obstacle(replace(parts, before=steps)) == "NormalizeIntensityd"
    assert obstacle(replace(parts, inferer=SimpleInferer())) == "SimpleInferer"


def test_a_model_that_cannot_be_exported_leaves_no_file(model: TrainedModel, tmp_path: Path) -> None:
    filtered = replace(model, settings=model.settings | {"speckle": "lee"})
    with raises_user_error("speckle=lee", "--backend torch", f"'{model.name}'"):
        export_graph(filtered, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_traced_network_is_a_copy() -> None:
    network = tiny_network().train()
    graph, inputs = traceable(network, CHAIN)
    assert network.training
    assert not graph.training
    before = graph(*inputs.values())
    with torch.no_grad():
        network.weight.fill_(0)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(graph(*inputs.values()), before)
    assert before.shape == (8, 6)
