"""Non-local block."""

from __future__ import annotations

from torch import Tensor, nn


class NonLocal(nn.Module):
    """Add to each pixel a mean over all pixels, weighted by likeness.

    ``x + W (softmax(theta(x)^T phi(x)) g(x))``, all four 1x1 convolutions with bias: the embedded Gaussian of Wang et
    al., CVPR 2018, doi 10.1109/CVPR.2018.00813, without batch normalisation. W starts at zero, so that the block
    starts as the identity. ``2 C^2 + 5 C / 2`` parameters; the weights take ``(H W)^2`` values an image.

    Args:
        channels: C, even; the comparison has C / 2.

    Shape:
        (B, C, H, W) to (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 2, 1)
        self.phi = nn.Conv2d(channels, channels // 2, 1)
        self.g = nn.Conv2d(channels, channels // 2, 1)
        self.out = nn.Conv2d(channels // 2, channels, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with what was seen elsewhere."""
        seen = (self.g(x).flatten(2) @ self.affinity(x).transpose(1, 2)).reshape(
            x.shape[0], x.shape[1] // 2, x.shape[2], x.shape[3]
        )
        change: Tensor = self.out(seen)
        return x + change

    def affinity(self, x: Tensor) -> Tensor:
        """Return the weights (B, H W, H W) with which each pixel (row) sees each other; a row sums to 1."""
        weights: Tensor = (self.theta(x).flatten(2).transpose(1, 2) @ self.phi(x).flatten(2)).softmax(dim=2)
        return weights
