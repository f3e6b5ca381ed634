"""Attention in shifted windows: what reaches what, and what is left out in training."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock

from bus_monai.networks.blocks.windows import PatchMerging, WindowBlock


def test_a_block_leaves_out_its_change_for_whole_images_in_training_alone() -> None:
    torch.manual_seed(0)
    block = WindowBlock(SwinTransformerBlock(12, 3, (7, 7), (0, 0), drop_path=0.5))
    x = torch.rand(64, 7, 7, 12)
    with torch.no_grad():
        unchanged = (block.train()(x) == x).flatten(1).all(dim=1)
        # both halves of a block must be left out
        assert 6 <= int(unchanged.sum()) <= 26
        assert not (block.eval()(x) == x).flatten(1).all(dim=1).any()


@pytest.mark.parametrize(
    ("shift", "at", "reached"), [(0, 5, slice(0, 7)), (3, 5, slice(3, 10)), (3, 1, slice(0, 3)), (3, 18, slice(17, 21))]
)
def test_a_change_reaches_its_own_window_alone(shift: int, at: int, reached: slice) -> None:
    """What the shift brings from one border to the other stays apart."""
    torch.manual_seed(0)
    block = WindowBlock(SwinTransformerBlock(12, 3, (7, 7), (shift, shift))).eval()
    x = torch.rand(1, 21, 21, 12)
    changed = x.clone()
    changed[0, at, at] = 0
    with torch.no_grad():
        different = (block(x) - block(changed)).abs().amax(dim=3)[0] > 1e-7
    expected = torch.zeros(21, 21, dtype=torch.bool)
    expected[reached, reached] = True
    assert torch.equal(different, expected)


def test_merging_four_patches_is_that_of_monai_on_even_sizes() -> None:
    torch.manual_seed(0)
    parts = PatchMergingV2(6, spatial_dims=2)
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        found = PatchMerging(parts)(x)
        assert found.shape == (2, 2, 3, 12)
        torch.testing.assert_close(found, parts(x))
