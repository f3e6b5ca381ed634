"""Any input size for a network that needs multiples."""

# no postponed annotations here: TorchScript reads the type of the attribute as it stands

from torch import Tensor, nn
from torch.nn import functional as F


class Padded(nn.Module):
    """Repeat the border up to the next multiple, apply a network, and crop back.

    Rows are added below and columns to the right, fewer than ``multiple`` of each; a fitting image passes unchanged.

    Args:
        network: (B, C, H, W) to (B, K, H, W) for H and W divisible by ``multiple``.
        multiple: what H and W must be divisible by, in pixels.

    Shape:
        (B, C, H, W) to (B, K, H, W), any H and W.
    """

    multiple: int

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's output at the size of ``x``."""
        height, width = x.shape[2], x.shape[3]
        below = (self.multiple - height % self.multiple) % self.multiple
        right = (self.multiple - width % self.multiple) % self.multiple
        x = self.network(F.pad(x, [0, right, 0, below], mode="replicate"))
        return x[:, :, :height, :width]
