"""Swin-UNet as published."""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import SwinTransformerBlock

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


def test_a_block_leaves_out_its_change_for_whole_images_in_training_alone() -> None:
    torch.manual_seed(0)
    block = WindowBlock(SwinTransformerBlock(12, 3, (7, 7), (0, 0), drop_path=0.5))
    x = torch.rand(64, 7, 7, 12)
    with torch.no_grad():
        unchanged = (block.train()(x) == x).flatten(1).all(dim=1)
        # both halves of a block must be left out
        assert 6 <= int(unchanged.sum()) <= 26
        assert not (block.eval()(x) == x).flatten(1).all(dim=1).any()
