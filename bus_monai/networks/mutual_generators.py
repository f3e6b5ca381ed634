"""The generators of ASSGAN as one network."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from bus_monai.errors import UserError, check_choice
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.networks.wrappers import Ensemble, Standardized

# no postponed annotations here: TorchScript reads the type of the attribute as it stands

ARCHITECTURES = ("deeplabv3_plus", "pspnet")
GENERATOR_USES = ("mean", "first", "second")


class MutualGenerators(nn.Module):
    """DeepLabV3+ and PSPNet that are trained to teach each other, or DeepLabV3+ alone.

    They share no weights, and one file holds both. Zhai et al., ASSGAN, Neurocomputing 493, 2022, doi
    10.1016/j.neucom.2022.04.021, section 3.1; which of them serves afterward is left open there.

    Args:
        in_channels: of the image.
        out_channels: 1 for the lesion, whose probability is the sigmoid; K > 1 for K classes, by softmax.
        backbone: of both: ``resnet18``, ``resnet50`` or ``resnet101``.
        num_generators: 1 or 2.
        used: ``mean``, the mean of both probabilities, or the ``first`` or ``second`` generator alone.

    Attributes:
        ensemble: the generators, as its ``networks``.

    Shape:
        (B, in_channels, H, W) with values in [0, 1] to logits (B, out_channels, H, W), any H and W of at
        least 32. In training mode at least two images.

    Raises:
        UserError: unknown ``backbone``, another number of generators, or a ``used`` one that there is not.

    Example:
        >>> import torch
        >>> MutualGenerators(backbone="resnet18").eval()(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    used: int

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        backbone: str = "resnet101",
        num_generators: int = 2,
        used: str = "mean",
    ) -> None:
        super().__init__()
        check_choice("num_generators", num_generators, (1, 2))
        check_choice("used_generator", used, GENERATOR_USES)
        self.used = GENERATOR_USES.index(used)
        if self.used > num_generators:
            raise UserError(
                "used_generator is 'second', but there is one generator: use first or mean.", key="used_generator"
            )
        names = ARCHITECTURES[:num_generators]
        options = {"in_channels": in_channels, "out_channels": out_channels, "backbone": backbone}
        self.ensemble = Ensemble(make_segmenter(name, options) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the mean probability, or those of the generator that is used."""
        for i, network in enumerate(self.ensemble.networks):
            if self.used == i + 1:
                logits: Tensor = network(x)
                return logits
        mean: Tensor = self.ensemble(x)
        return mean

    def fit_input_statistics(self, images: Iterable[Tensor]) -> None:
        """Give all generators the statistics of ``images``, (1, H, W) in [0, 1] and without augmentation."""
        images = list(images)
        for network in self.ensemble.networks:
            assert isinstance(network, Standardized)
            network.fit_input_statistics(images)


def generators(network: MutualGenerators, wrap: Callable[[nn.Module], nn.Module]) -> list[nn.Module]:
    """Return the generators of a network one by one, each wrapped, as they are trained."""
    return [wrap(generator) for generator in network.ensemble.networks]
