"""ASSGAN's generators as one network."""

from __future__ import annotations

import pytest
import torch

from bus_monai.networks.mutual_generators import MutualGenerators
from bus_monai.networks.wrappers import Standardized
from tests.user_errors import raises_user_error


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def pair() -> MutualGenerators:
    torch.manual_seed(0)
    return MutualGenerators(backbone="resnet18").eval()


def test_published_counts_add_up() -> None:
    with torch.device("meta"):
        both, one = MutualGenerators(), MutualGenerators(num_generators=1)
    # DeepLabV3+ and PSPNet on ResNet-101
    assert parameters(one) == 58_197_329
    assert parameters(both) == 58_197_329 + 48_800_833


def test_one_file_serves_whichever_is_used(pair: MutualGenerators) -> None:
    x = torch.rand(2, 1, 64, 64)
    outputs = []
    for used in ("mean", "first", "second"):
        network = MutualGenerators(backbone="resnet18", used=used).eval()
        network.load_state_dict(pair.state_dict())
        with torch.no_grad():
            outputs.append(network(x))
            torch.testing.assert_close(torch.jit.script(network)(x), outputs[-1])
    mean, first, second = outputs
    assert not torch.allclose(first, second)
    torch.testing.assert_close(mean.sigmoid(), (first.sigmoid() + second.sigmoid()) / 2)
    with torch.no_grad():
        for network, output in zip(pair.ensemble.networks, (first, second), strict=True):
            torch.testing.assert_close(network(x), output)


def test_all_get_the_statistics_of_the_training_set(pair: MutualGenerators) -> None:
    pair.fit_input_statistics(iter([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]))
    for network in pair.ensemble.networks:
        assert isinstance(network, Standardized)
        assert (float(network.mean), float(network.std)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("options", "key", "named"),
    [
        ({"num_generators": 3}, "num_generators", [3, 1, 2]),
        ({"used": "best"}, "used_generator", ["best", "mean", "first", "second"]),
        ({"used": "second", "num_generators": 1}, "used_generator", ["second", "first", "mean"]),
        ({"backbone": "vgg"}, "backbone", ["vgg", "resnet18", "resnet50", "resnet101"]),
    ],
)
def test_wrong_options_are_named(options: dict, key: str, named: list[object]) -> None:
    with raises_user_error(*named, key=key):
        MutualGenerators(**options)
