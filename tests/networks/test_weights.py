"""Weights: never code, never half a file."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from torch import nn

from bus_monai.io.atomic import check_writable
from bus_monai.networks.weights import read_weights, save_weights
from tests.user_errors import raises_user_error


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("evil",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, save in (("torch.pt", torch.save), ("pickle.pt", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        save({"x": Evil()}, tmp_path / name)
        with raises_user_error("tensors", path=tmp_path / name):
            read_weights(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_weights(nn.Linear(50, 50).state_dict(), path)
    path.write_bytes(path.read_bytes()[:2000])
    with raises_user_error("truncated", path=path):
        read_weights(path)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    save_weights({"x": torch.ones(3)}, path)

    def full(state: object, target: BinaryIO) -> None:
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with raises_user_error(os.strerror(errno.ENOSPC), "space", path=path):
        save_weights({"x": torch.zeros(3)}, path)
    assert torch.equal(read_weights(path)["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        save_weights({"x": torch.ones(3)}, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_missing_file_and_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with raises_user_error(path=tmp_path / "none.pt"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "file").write_text("")
    with raises_user_error(os.strerror(errno.ENOTDIR), path=tmp_path / "file" / "below"):
        check_writable(tmp_path / "file" / "below")
