"""Weights: never code, never half a file."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from bus_monai.bundle.weights import load_network, load_weights, save_weights
from bus_monai.errors import UserError
from bus_monai.io.atomic import check_writable


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("evil",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, save in (("torch.pt", torch.save), ("pickle.pt", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        save({"x": Evil()}, tmp_path / name)
        with pytest.raises(UserError, match=f"^'.*{name}' is no checkpoint that can be trusted and read"):
            load_weights(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_weights(nn.Linear(50, 50).state_dict(), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="it is truncated, not written by PyTorch, or holds more than tensors"):
        load_weights(path)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    save_weights({"x": torch.ones(3)}, path)

    def full(state: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"Cannot write '.*model\.pt' \(.*No space left on device\): free space"):
        save_weights({"x": torch.zeros(3)}, path)
    assert torch.equal(load_weights(path)["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(3, 3).state_dict(), tmp_path / "m.pt")
    assert load_network(nn.Linear(3, 3), tmp_path / "m.pt").weight.shape == (3, 3)
    with pytest.raises(UserError, match="holds the weights of another network"):
        load_network(nn.Linear(4, 4), tmp_path / "m.pt")


def test_a_missing_file_and_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"'.*none\.pt' does not exist: train first, or give the path of a checkpoint\."
    ):
        load_weights(tmp_path / "none.pt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^Cannot write to '.*' \(Not a directory\)"):
        check_writable(tmp_path / "file" / "below")
