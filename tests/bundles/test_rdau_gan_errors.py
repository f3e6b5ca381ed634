"""Every error that a user can fix, as training and inference tell it."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.cli import main as cli
from bus_monai.networks.segmenters import make_segmenter
from tests.conftest import BUNDLE
from tests.user_errors import check_said, raises_user_error

CONFIGS = BUNDLE / "configs"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(make_segmenter("rdau").state_dict(), path)
    return path


def damaged(tmp_path: Path, small_phantoms: Path, damage: str) -> Path:
    """A copy of the phantoms with one thing wrong."""
    import shutil

    folder = tmp_path / "set"
    shutil.copytree(small_phantoms, folder)
    items = json.loads((folder / "datalist.json").read_text())["training"]
    item = next(item for item in items if item["masks"])
    image, mask = folder / item["image"], folder / item["masks"][0]
    match damage:
        case "truncated image":
            image.write_bytes(image.read_bytes()[:300])
        case "black image":
            Image.fromarray(np.zeros((64, 64), np.uint8)).save(image)
        case "mask of another size":
            Image.fromarray(np.zeros((32, 64), np.uint8)).save(mask)
        case "no mask file":
            mask.unlink()
        case "no mask":
            content = json.loads((folder / "datalist.json").read_text())
            for entry in content["training"]:
                entry["masks"] = []
            (folder / "datalist.json").write_text(json.dumps(content))
    return folder


def train_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run ``bus-monai train rdau_gan`` and return its last line; it must end with 2."""
    monkeypatch.setattr(sys, "argv", ["bus-monai", "train", "rdau_gan", "--image_size", "[64, 64]", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("truncated image", ["images/phantom_"]),
        ("black image", ["images/phantom_", "every pixel is 0"]),
        ("mask of another size", ["masks/phantom_", "32 x 64", "64 x 64"]),
        ("no mask file", ["training[", "masks/phantom_"]),
        ("no mask", ["images/phantom_", "no mask"]),
    ],
)
def test_damaged_data_are_named_before_training(
    damage: str, words: list[str], tmp_path: Path, small_phantoms: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = damaged(tmp_path, small_phantoms, damage)
    out = tmp_path / "out"
    line = train_error(
        monkeypatch, capsys, "--dataset_dir", str(folder), "--ckpt_dir", str(out), "--output_dir", str(out)
    )
    assert line.startswith("bus-monai: ")
    assert all(word in line for word in words), line
    # not even settings.json, which would be another model's where one was trained before
    assert not list(out.iterdir())


def test_wrong_settings_are_named_before_training(
    tmp_path: Path, small_phantoms: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(
        *arguments: str, named: tuple[str, ...] = (), path: str | Path | None = None, key: str | None = None
    ) -> None:
        line = train_error(monkeypatch, capsys, "--ckpt_dir", out, "--output_dir", out, *arguments)
        check_said(line, *named, path=path, key=key)

    out = str(tmp_path / "out")
    data = ["--dataset_dir", str(small_phantoms)]
    (tmp_path / "empty").mkdir()
    file = tmp_path / "file"
    file.write_text("x")
    missing = str(tmp_path / "nowhere")
    fails("--dataset_dir", missing, path=missing, key="dataset_dir")
    fails(
        "--dataset_dir", str(tmp_path / "empty"),
        named=("datalist.json", "BUSI"), path=tmp_path / "empty", key="dataset_dir",
    )  # fmt: skip
    fails("--dataset_dir", str(file), named=("unpack",), path=file, key="dataset_dir")
    fails(*data, "--max_epoch", "3", named=("'max_epochs'",), key="max_epoch")
    modes = ("wgn", "'wgan'", "none", "bce", "wgan-gp", "parent_literal")
    fails(*data, "--gan_mode", "wgn", named=modes, key="gan_mode")
    fails(*data, "--use_gate", "0", named=("true", "false"), key="use_gate")
    fails(*data, "--image_size", "[4, 64]", named=("whole", 8), key="image_size")
    fails(*data, "--speckle", "medan", named=("medan", "'median'"), key="speckle")
    fails(*data, "--output_dir", str(file / "below"), named=(os.strerror(errno.ENOTDIR),), path=file / "below")
    fails(*data, "--resume", "true", named=("resume",), path=f"{out}/checkpoint.pt")


def test_weights_of_another_network_are_refused(weights: Path, small_phantoms: Path, tmp_path: Path) -> None:
    with raises_user_error("use_gate", path=weights, wrapped=True):
        create_workflow(
            config_file=str(CONFIGS / "inference.json"), run_id="inferring", ckpt_path=str(weights), use_gate=False,
            dataset_dir=str(small_phantoms / "images"), output_dir=str(tmp_path),
        ).run()  # fmt: skip


@pytest.mark.parametrize("name", ["model.pt", "checkpoint.pt", "settings.json", "history.csv"])
def test_a_file_of_somebody_else_is_named_before_training(
    name: str, tmp_path: Path, small_phantoms: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"seed": 1}')
    line = train_error(
        monkeypatch, capsys, "--dataset_dir", str(small_phantoms), "--ckpt_dir", str(out), "--output_dir", str(out)
    )
    check_said(line, path=out / name, key="output_dir" if name == "history.csv" else "ckpt_dir")
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == '{"seed": 1}'
