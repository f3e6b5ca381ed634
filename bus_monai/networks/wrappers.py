"""Networks around networks: padding to any size, standardized input, ensembles."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# no postponed annotations here: TorchScript reads the types of attributes as they stand


class Ensemble(nn.Module):
    """Average the probabilities of networks, such as those of the folds of a cross-validation.

    Args:
        networks: each (B, C, H, W) in [0, 1] to logits (B, K, H, W), of the lesion if K is 1, of K classes otherwise.

    Note:
        Folds, each of which learned from what others are tested on, are an ensemble for new images only.

    Shape:
        (B, C, H, W) with values in [0, 1] to the logits (B, K, H, W) of the mean probability.

    Example:
        >>> certain = [nn.Conv2d(1, 1, 1) for _ in range(2)]
        >>> for network, logit in zip(certain, (20.0, -20.0)):
        ...     _ = nn.init.zeros_(network.weight), nn.init.constant_(network.bias, logit)
        >>> round(float(Ensemble(certain)(torch.rand(1, 1, 1, 1)).sigmoid()), 3)
        0.5
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the mean probability."""
        logits = torch.stack([network(x) for network in self.networks])
        if logits.shape[2] > 1:
            return _log_sum(logits.log_softmax(dim=2))
        return _log_sum(_log_sigmoid(logits)) - _log_sum(_log_sigmoid(-logits))


def _log_sigmoid(logits: Tensor) -> Tensor:
    # not by logsigmoid, which ONNX writes as the logarithm of what has become 0
    return -nn.functional.softplus(-logits)


def _log_sum(logs: Tensor) -> Tensor:
    """Return the logarithm of the sum of probabilities over the first axis, finite for tiny ones too.

    Not by ``logsumexp``, which OpenVINO reads as a sum over all axes.
    """
    largest = logs.amax(dim=0)
    return largest + (logs - largest).exp().sum(dim=0).log()


class Padded(nn.Module):
    """Repeat the border up to the next multiple, apply a network, and crop back.

    Rows are added below and columns to the right, fewer than ``multiple`` of each; a fitting image passes unchanged.

    Args:
        network: (B, C, H, W) to (B, K, H, W) for H and W divisible by ``multiple``.
        multiple: what H and W must be divisible by, in pixels.

    Shape:
        (B, C, H, W) to (B, K, H, W), any H and W.

    Example:
        >>> halved = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2))
        >>> Padded(halved, 2)(torch.zeros(1, 1, 7, 9)).shape
        torch.Size([1, 1, 7, 9])
    """

    multiple: int

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's output at the size of ``x``."""
        logits: Tensor = self.network(self.padded(x))
        return logits[:, :, : x.shape[2], : x.shape[3]]

    def padded(self, x: Tensor) -> Tensor:
        """Return ``x`` as the network takes it."""
        below = (self.multiple - x.shape[2] % self.multiple) % self.multiple
        right = (self.multiple - x.shape[3] % self.multiple) % self.multiple
        return F.pad(x, [0, right, 0, below], mode="replicate")


class Standardized(nn.Module):
    """Subtract the training set's mean and divide by its standard deviation, then apply a network.

    The statistics travel with the weights, so that every caller hands in plain gray values in [0, 1] and a validation
    image is never standardized by its own. They are buffers: no parameters, nothing to learn.

    Args:
        network: (B, C, H, W) to logits (B, K, H, W).
        fixed: keep mean 0 and standard deviation 1, for a network that scales its input itself.

    Shape:
        (B, C, H, W) with values in [0, 1] to logits (B, K, H, W).
    """

    mean: Tensor
    std: Tensor
    fixed: bool

    def __init__(self, network: nn.Module, *, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of ``x``."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits

    def fit_input_statistics(self, images: Iterable[Tensor]) -> None:
        """Take mean and standard deviation over all pixels of ``images``; do nothing if ``fixed``.

        Args:
            images: those of the training set, (1, H, W) in [0, 1], as the network meets them in validation: from
                augmented ones the statistics would depend on chance.

        Example:
            >>> network = Standardized(nn.Identity())
            >>> network.fit_input_statistics([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
            >>> network.mean, network.std
            (tensor(0.5000), tensor(0.5000))
        """
        if self.fixed:
            return
        count, total, squares = 0, 0.0, 0.0
        for image in images:
            values = torch.as_tensor(image).double()
            count += values.numel()
            total += float(values.sum())
            squares += float((values**2).sum())
        mean = total / count
        self.mean.fill_(mean)
        # a set of constant images has no scale to divide by
        self.std.fill_(max(squares / count - mean**2, 0.0) ** 0.5 or 1.0)
