"""PyTorch on a graph whose result is known, and on a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bus_monai.bundle.models import TrainedModel
from bus_monai.inference.backends.export_graph import write_torchscript
from bus_monai.inference.backends.torch import TorchBackend, TorchScriptBackend
from bus_monai.inference.predictor import Predictor
from tests.inference.backends.tiny_graph import CHAIN, check_at_any_size, tiny_network


def test_torchscript_gives_what_its_network_means_at_any_size(tmp_path: Path) -> None:
    write_torchscript(tiny_network(), CHAIN, tmp_path / "model.ts")
    check_at_any_size(TorchScriptBackend(tmp_path / "model.ts", CHAIN))


def test_float32_is_never_computed_in_less_and_the_image_stays(model: TrainedModel, reference: Predictor) -> None:
    backend = TorchBackend(model, "fp32")
    assert not backend.bfloat16
    pixels = np.random.default_rng(0).random((20, 33), np.float32)
    before = pixels.copy()
    np.testing.assert_array_equal(backend(pixels).probability, reference.predict(pixels))
    np.testing.assert_array_equal(pixels, before)
