"""Instance normalisation that exports."""

# no postponed annotations here: TorchScript reads the type of the attribute as it stands

from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """Subtract the mean of each channel of each image and divide by its standard deviation.

    The values of ``torch.nn.InstanceNorm2d`` without parameters, which ONNX export refuses where it cannot infer the
    number of channels, and whose variance ONNX Runtime takes as a difference of large numbers. Ulyanov et al., 2016,
    arXiv 1607.08022.

    Args:
        eps: added to the variance.

    Shape:
        (B, C, H, W) to the same.
    """

    eps: float

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with mean 0 and variance 1."""
        # half precision has too few digits for a variance
        centred = x.float() - x.float().mean(dim=[2, 3], keepdim=True)
        variance = centred.square().mean(dim=[2, 3], keepdim=True)
        return (centred * (variance + self.eps).rsqrt()).to(x.dtype)
