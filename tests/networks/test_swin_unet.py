"""Swin-UNet as published."""

from __future__ import annotations

from bus_monai.networks.blocks.windows import WindowBlock
from bus_monai.networks.swin_unet import SwinUNet


def test_parameters_are_the_27_17_million_of_others() -> None:
    assert sum(p.numel() for p in SwinUNet(in_channels=3, out_channels=9).parameters()) == 27_168_900


def test_only_the_bottleneck_has_no_shifted_windows_and_deeper_blocks_are_left_out_more_often() -> None:
    blocks = [block for block in SwinUNet(features=12).modules() if isinstance(block, WindowBlock)]
    assert [block.shift for block in blocks] == [0, 3] * 3 + [0, 0] + [0, 3] * 3
    rates = [round(block.path.p, 4) for block in blocks]
    assert rates[:8] == [0.0, 0.0286, 0.0571, 0.0857, 0.1143, 0.1429, 0.1714, 0.2]
    assert rates[8:] == rates[4:6] + rates[2:4] + rates[:2]
