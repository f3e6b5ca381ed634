"""Shape classifier: the count of the table, the shapes, and that it learns."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bus_monai.networks.shape_cnn import ShapeCNN
from tests.user_errors import raises_user_error


def test_parameters_and_shapes_of_the_table() -> None:
    net = ShapeCNN().eval()
    assert sum(p.numel() for p in net.parameters()) == 1_512_836
    x, shapes = torch.rand(2, 1, 64, 64), []
    for layer in net.features:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[::3] == [(32, 56, 56), (64, 24, 24), (128, 9, 9)]
    assert net(torch.rand(2, 1, 64, 64)).shape == (2, 4)


def test_it_learns_four_masks() -> None:
    torch.manual_seed(0)
    net, y = ShapeCNN().eval(), torch.arange(4)  # without dropout
    x = torch.zeros(4, 1, 64, 64)
    for i in range(4):
        x[i, 0, 20 - 4 * i : 44 + 4 * i, 28:36] = 1
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert net(x).argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_wrong_size_is_named() -> None:
    with raises_user_error("ShapeCNN", (1, 1, 32, 32), "(B, 1, 64, 64)"):
        ShapeCNN()(torch.rand(1, 1, 32, 32))


def test_channels_and_classes() -> None:
    net = ShapeCNN(in_channels=2, out_channels=3)
    x = torch.rand(2, 2, 64, 64)
    assert net(x).shape == torch.jit.script(net)(x).shape == (2, 3)
    with raises_user_error("ShapeCNN"):
        net(x[:, :1])
