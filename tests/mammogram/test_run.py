"""Mammograms from files to tables, with stages that can be worked out by hand: a square is a mass."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.data.datalist import Case, Datalist, write_datalist
from bus_monai.data.readers.shapes import write_shape_table
from bus_monai.geometry.box import Box
from bus_monai.mammogram.run import items_of_folder, read_boxes, read_mammograms, run_mammograms
from bus_monai.mammogram.stages import FoundMass
from tests.mammogram.by_hand import classify, reader, segment
from tests.user_errors import check_sentence, raises_user_error


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The same square of 20 x 20 pixels as PNG and, 0.5 x 1 mm a pixel, as NIfTI; a broken file between them."""
    pixels = np.zeros((100, 120), np.uint8)
    pixels[10:30, 40:60] = 200
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    nib.save(nib.Nifti1Image(pixels.T, np.diag([0.5, 1.0, 1.0, 1.0])), folder / "deep" / "c.nii")
    return folder


def test_outputs_mirror_the_folder(source: Path, tmp_path: Path) -> None:
    items = items_of_folder(source, tmp_path / "out")
    assert [(item.name, item.mask.relative_to(tmp_path / "out").as_posix()) for item in items] == [
        ("a.png", "a_mask.png"), ("b.png", "b_mask.png"), ("deep/c.nii", "deep/c_mask.nii.gz"),
    ]  # fmt: skip
    assert [item.overlay.name for item in items] == ["a_overlay.png", "b_overlay.png", "c_overlay.png"]


def test_each_image_is_a_row_and_each_mass_is_measured(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    results = read_mammograms(reader(FoundMass(Box(10, 40, 30, 60), 0.9)), items_of_folder(source, out), out)
    assert [result.masses for result in results] == [1, None, 1]
    check_sentence(results[1].reason, path=source / "b.png")
    images = [(row["image"], row["state"], row["masses"], row["reason"]) for row in table(out / "images.csv")]
    assert images == [
        ("a.png", "done", "1", ""), ("b.png", "failed", "", results[1].reason), ("deep/c.nii", "done", "1", ""),
    ]  # fmt: skip
    one, other = table(out / "masses.csv")
    expected = {"mass": "1", "score": "0.9000", "top": "10", "left": "40", "bottom": "30", "right": "60"}
    expected |= {"area_px": "400", "shape": "oval", "oval": "1.0000", "round": "0.0000"}
    assert expected.items() <= one.items()
    assert expected.items() <= other.items()
    assert (one["area_mm2"], other["area_mm2"]) == ("", "200.00")
    assert np.count_nonzero(np.asarray(Image.open(out / "a_mask.png"))) == 400
    assert (out / "deep" / "c_overlay.png").is_file()


def test_boxes_are_those_of_the_masks_and_a_foreign_image_is_named(source: Path, tmp_path: Path) -> None:
    items, boxes = items_of_folder(source, tmp_path), tmp_path / "boxes.csv"
    boxes.write_text("image,top,left,bottom,right\na.png,1,2,3,4\ndeep/c.nii,5,6,7,8\na.png,9,10,11,12\n")
    assert read_boxes(items, source, boxes) == {
        items[0].mask: [Box(1, 2, 3, 4), Box(9, 10, 11, 12)],
        items[2].mask: [Box(5, 6, 7, 8)],
    }
    boxes.write_text("image,top,left,bottom,right\nx.png,1,2,3,4\n")
    with raises_user_error("x.png", path=boxes):
        read_boxes(items, source, boxes)


def test_a_set_with_a_broken_image_an_unknown_shape_and_a_volume_is_read_to_its_end(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "set", tmp_path / "out"
    shutil.copytree(source, folder)
    Image.fromarray(np.asarray(Image.open(folder / "a.png")) // 200 * 255).save(folder / "mask.png")
    images = {"a": folder / "a.png", "b": folder / "b.png", "c": folder / "deep" / "c.nii"}
    cases = [Case(id, image, (folder / "mask.png",), id, "benign") for id, image in images.items()]
    write_datalist(folder, Datalist(test=cases))
    write_shape_table(folder, [(id, 1, "NA") for id in images])
    (tmp_path / "model.pt").write_bytes(b"hand")
    names = ("mass_detection", "mammo_cgan", "mass_shape")
    stages = {name: TrainedModel(name, find_bundle(name), str(tmp_path / "model.pt")) for name in names}
    by_name = {"mass_detection": lambda image: [FoundMass(Box(10, 40, 30, 60), 0.9)]}
    by_name |= {"mammo_cgan": segment, "mass_shape": classify}
    monkeypatch.setattr("bus_monai.mammogram.run.load_stage", lambda stage: by_name[stage.name])
    results = run_mammograms(folder, out, list(stages.values()), split="test")
    assert [(result.item.name, result.masses) for result in results] == [("a", 1), ("b", None), ("c", 1)]
    assert (out / "c_mask.nii.gz").is_file()
    assert json.loads((out / "run.json").read_text())["failed"] == 1
    page = (out / "report.html").read_text()
    assert "Dice of a mass" in page
    assert "b.png" in page
