"""A small segmenter that has learnt nothing, which gives the same few smooth blobs for the same image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bus_monai.networks.segmenters import make_segmenter

OPTIONS = {"base_width": 4, "depth": 5}


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small generator of the bundle ``baseline``, with the settings beside them."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    torch.save(make_segmenter("cgan", OPTIONS).state_dict(), folder / "model.pt")
    settings = {"network_name": "cgan", "network_options": OPTIONS, "image_size": [32, 32]}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder / "model.pt"
