"""Occlusion against a plain loop."""

from __future__ import annotations

import torch
from torch import nn

from bus_monai.explain.occlusion import occlusion_map


def test_it_is_the_mean_loss_of_the_patches_that_cover_a_pixel() -> None:
    torch.manual_seed(2)
    network, image = nn.Conv2d(1, 1, 5, padding=2), torch.rand(1, 1, 32, 40)
    with torch.no_grad():
        logits = network(image)
        region = logits >= 0
        before = logits.sigmoid()[region].mean()
        total, count = torch.zeros(32, 40), torch.zeros(32, 40)
        for top in range(0, 32 - 4 + 1, 2):
            for left in range(0, 40 - 4 + 1, 2):
                hidden = image.clone()
                hidden[..., top : top + 4, left : left + 4] = image.mean()
                total[top : top + 4, left : left + 4] += before - network(hidden).sigmoid()[region].mean()
                count[top : top + 4, left : left + 4] += 1
    result = occlusion_map(network, image)
    assert 0 < region.sum() < region.numel()
    torch.testing.assert_close(result, (total / count).clamp(min=0))
    assert network.training


def test_only_what_the_network_sees_matters() -> None:
    """A network that looks at the left half alone."""

    class Left(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = 10 * (x - 0.3)
            return torch.cat([x[..., :16], torch.full_like(x[..., 16:], -10)], dim=3)

    image = torch.zeros(1, 1, 32, 32)
    image[..., 8:24, 4:12] = 1
    values = occlusion_map(Left(), image)
    assert values[:, 20:].eq(0).all()
    assert values[10:22, 6:10].min() > 0
