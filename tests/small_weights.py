"""A small segmenter that has learnt nothing, which gives the same few smooth blobs for the same image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

OPTIONS = {"base_width": 4, "depth": 5}


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small generator of the bundle ``baseline``, with the settings beside them."""
    # here, so that tests that need no network start at once
    import torch
    from torch import nn

    from bus_monai.data.phantoms import make_phantom
    from bus_monai.networks.segmenters import make_segmenter

    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    network = make_segmenter("cgan", OPTIONS).eval()
    phantom = torch.from_numpy(make_phantom(0, (64, 64)).image.astype(np.float32) / 255)[None, None]
    head = [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)][-1]
    with torch.no_grad():
        head.weight *= 200
        # so that a few pixels of a hundred are lesion
        head.bias -= network(phantom).quantile(0.97) / 2
    torch.save(network.state_dict(), folder / "model.pt")
    settings = {"network_name": "cgan", "network_options": OPTIONS, "image_size": [32, 32]}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder / "model.pt"
