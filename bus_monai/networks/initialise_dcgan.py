"""Start values of the weights of convolutional GANs."""

from __future__ import annotations

from torch import nn


def initialise_dcgan(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, 0.02) and a batch norm's gains from N(1, 0.02); set biases to 0.

    Radford et al. (DCGAN), ICLR 2016, arXiv 1511.06434. Other modules stay as they are; ``net.apply(initialise_dcgan)``
    reaches all.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
