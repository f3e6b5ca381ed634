"""Disturbed images: masks stay on their lesions, chance is that of the case, and the page shows the table."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bus_monai.cli import main as cli
from bus_monai.data.datalist import Case, read_datalist
from bus_monai.data.items import crop_items
from bus_monai.experiments.robustness import PERTURBATIONS, write_disturbed
from bus_monai.geometry.box import Box
from bus_monai.io.image import read_mask
from bus_monai.networks.lite_unet import LiteUNet
from bus_monai.sources.read import read_source
from tests.user_errors import check_said

SIZES = {"letterbox 20 %": (84, 80), "scale 1/3": (20, 27), "scale 3": (180, 240), "width 0.75": (60, 60)}


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_mask_stays_on_a_bright_lesion(name: str) -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[12:36, 21:60] = True
    pixels = np.where(mask, 0.9, 0.2).astype(np.float32)
    image, moved = PERTURBATIONS[name](pixels, mask, np.random.default_rng(0))
    assert image.shape == moved.shape == SIZES.get(name, (60, 80))
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1
    assert ((image > 0.5) == moved).mean() > 0.95
    assert not np.array_equal(image, pixels)


@pytest.mark.parametrize("name", ["scale 1/3", "width 0.75"])
def test_the_smallest_lesion_does_not_vanish(name: str) -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[31, 41] = True
    pixels = np.full((60, 80), 0.5, dtype=np.float32)
    assert PERTURBATIONS[name](pixels, mask, np.random.default_rng(0))[1].any()


@pytest.mark.parametrize("name", ["speckle", "text and calipers"])
def test_files_depend_on_the_case_alone(name: str, small_phantoms: Path, tmp_path: Path) -> None:
    cases = read_datalist(small_phantoms).test
    for folder, part in (("all", cases), ("last", cases[-1:])):
        (tmp_path / folder).mkdir()
        write_disturbed(tmp_path / folder, part, PERTURBATIONS[name], split="test")
    every, last = (read_datalist(tmp_path / folder).test for folder in ("all", "last"))
    assert [(c.id, c.group, c.diagnosis) for c in every] == [(c.id, c.group, c.diagnosis) for c in cases]
    assert every[-1].image.read_bytes() == last[0].image.read_bytes()
    for before, after in zip(cases, every, strict=True):
        shape = read_source(before.image).pixels.shape
        assert len(after.masks) == len(before.masks)
        for one, other in zip(before.masks, after.masks, strict=True):
            assert np.array_equal(read_mask(one, shape), read_mask(other, shape))


def test_crops_of_an_image_of_several_lesions_keep_their_names_and_places(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    noise = np.random.default_rng(0).integers(1, 255, (60, 80))
    Image.fromarray(noise.astype(np.uint8)).save(source / "a.png")
    boxes = [Box(12, 9, 24, 21), Box(30, 48, 54, 72)]
    for number, box in enumerate(boxes, start=1):
        mask = np.zeros((60, 80), np.uint8)
        mask[box.slices] = 255
        Image.fromarray(mask).save(source / f"m{number}.png")
    case = Case("a", source / "a.png", (source / "m1.png", source / "m2.png"), "a", "benign")
    (tmp_path / "out").mkdir()
    write_disturbed(tmp_path / "out", [case], PERTURBATIONS["scale 1/3"], split="test")
    items = crop_items(read_datalist(tmp_path / "out").test, "lesion_crops")
    assert [(item["id"], item["box"].tolist()) for item in items] == [
        ("a_m1", [4, 3, 8, 7]),
        ("a_m2", [10, 16, 18, 24]),
    ]


def test_command_writes_the_table(small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = dict(list(PERTURBATIONS.items())[:2])
    monkeypatch.setattr("bus_monai.experiments.robustness.PERTURBATIONS", few)
    torch.manual_seed(0)
    weights = tmp_path / "model.pt"
    torch.save(LiteUNet(presence_head=True, deep_supervision=True).state_dict(), weights)
    arguments = ["--data", str(small_phantoms), "--out", str(tmp_path / "out"), "--set", "image_size=[64,64]"]
    monkeypatch.setattr(
        sys,
        "argv",
        ["bus-monai", "evaluate", f"lite_unet:{weights}", *arguments, "--protocol", "kfold5:1", "--robustness"],
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    table = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert list(table) == ["undisturbed", *few]
    page = (tmp_path / "out" / "report.html").read_text()
    body = re.findall(r'<table data-rule="robustness">(.*?)</table>', page, re.DOTALL)[0]
    assert [row.split("</td>")[0] for row in body.split("<tr><td>")[1:]] == ["undisturbed", *few]
    assert f"<td>{table['gamma 0.6']['dice_difference']['mean']:.4f}</td>" in body


def test_mammograms_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pt").touch()
    monkeypatch.setattr(sys, "argv", ["bus-monai", "evaluate", f"mammo_cgan:{tmp_path}/model.pt", "--robustness"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    check_said(capsys.readouterr().err, "'mammo_cgan'", "MG", key="--robustness")
