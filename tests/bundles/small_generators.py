"""ASSGAN's generators with few channels: its own, of a ResNet, are trained in tests/label/test_train_task.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch import nn

from bus_monai.networks.segmenters import make_segmenter

FEATURES = (4, 8, 8, 8, 8, 4)


@contextmanager
def small_generators() -> Iterator[None]:
    """Let U-Nets of few channels take the place of DeepLabV3+ and PSPNet in the block."""

    def make_small(name: str, options: dict[str, Any]) -> nn.Module:
        channels = {key: options[key] for key in ("in_channels", "out_channels")}
        return make_segmenter("unet", {"features": FEATURES, **channels})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bus_monai.networks.mutual_generators.make_segmenter", make_small)
        yield
