"""Weights into networks: one file, or several for an ensemble."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bus_monai.bundle.models import load_network
from bus_monai.networks.weights import save_weights
from tests.user_errors import raises_user_error


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(3, 3).state_dict(), tmp_path / "m.pt")
    assert load_network(nn.Linear(3, 3), tmp_path / "m.pt").weight.shape == (3, 3)
    with raises_user_error("generator", "use_gate", "dilated_position", path=tmp_path / "m.pt"):
        load_network(nn.Linear(4, 4), tmp_path / "m.pt")


def test_several_files_make_an_ensemble_of_copies(tmp_path: Path) -> None:
    network, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    for name, value in (("a.pt", 2.0), ("b.pt", -4.0)):
        save_weights({"weight": torch.full((1, 1, 1, 1), value), "bias": torch.zeros(1)}, tmp_path / name)
    members = [load_network(nn.Conv2d(1, 1, 1), tmp_path / name)(x).sigmoid() for name in ("a.pt", "b.pt")]
    ensemble = load_network(network, f"{tmp_path / 'a.pt'},{tmp_path / 'b.pt'}", "cpu")
    torch.testing.assert_close(ensemble(x).sigmoid(), sum(members) / 2)
