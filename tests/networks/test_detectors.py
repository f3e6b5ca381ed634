"""Detectors by name."""

from __future__ import annotations

import pytest
import torch

from bus_monai.errors import UserError
from bus_monai.networks.detectors import make_detector, split_output


def test_one_tensor_is_taken_apart_again() -> None:
    torch.manual_seed(0)
    net = make_detector("ssd_lite").eval()
    x = torch.rand(2, 1, 300, 300)
    with torch.no_grad():
        output = net(x)
        expected = net.network.network(x)
    assert output.shape == (2, 6, 8732)
    assert all(torch.equal(a, b) for a, b in zip(split_output(output), expected, strict=True))


@pytest.mark.parametrize(("name", "count"), [("ssd300", 23_745_908), ("ssd_lite", 1_555_940)])
def test_parameters(name: str, count: int) -> None:
    assert sum(p.numel() for p in make_detector(name).parameters()) == count


def test_every_parameter_of_the_light_one_learns() -> None:
    net = make_detector("ssd_lite")
    net(torch.rand(1, 1, 300, 300)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_an_unknown_name() -> None:
    with pytest.raises(
        UserError, match=r"^There is no detector 'ssd' \(did you mean 'ssd300'\?\): use one of ssd300, "
    ):
        make_detector("ssd")
