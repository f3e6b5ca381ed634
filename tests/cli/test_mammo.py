"""``bus-monai mammo`` from files to files, with small networks that have learned nothing."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import find_bundle
from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from bus_monai.data.phantoms.mammogram import make_mammo_phantom, write_mammo_phantoms
from bus_monai.mammogram.stages import load_stage
from bus_monai.metrics.case_table import read_case_table
from tests.data.mammo_phantom_dicom import as_dicom_mg
from tests.user_errors import check_said, check_sentence, raises_user_error

SIZE = (160, 120)
SETTINGS: dict[str, dict[str, Any]] = {
    "mass_detection": {"network_name": "ssd_lite", "score_threshold": 1.0},
    "mammo_cgan": {"base_width": 4},
    "mass_shape": {},
}
OPTIONS = {"mass_detection": "--detection", "mammo_cgan": "--segmentation", "mass_shape": "--shape"}

Run = Callable[..., int]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Weights of each stage with the settings beside them, as options of the command."""
    words = []
    for name, settings in SETTINGS.items():
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        config = str(find_bundle(name) / "configs" / "inference.json")
        keys = {key: value for key, value in settings.items() if key != "score_threshold"}
        workflow = create_workflow(config_file=config, workflow_type="infer", **keys)
        torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), folder / "model.pt")
        (folder / "settings.json").write_text(json.dumps(settings))
        words += [OPTIONS[name], f"{name}:{folder / 'model.pt'}"]
    return words


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, stages: list[str]) -> Run:
    def command(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["bus-monai", "mammo", *map(str, words), *stages])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    return command


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "name", ["a_overlay.png", "a_overlay.svg", "a_mask.png", "report.html", "run.json", "masses.csv"]
)
def test_only_what_an_earlier_run_wrote_is_replaced(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Image.fromarray(make_mammo_phantom(1, SIZE).image).save(tmp_path / "a.png")
    (tmp_path / name).write_text("mine")
    assert run(tmp_path / "a.png", "--out", tmp_path) == 2
    check_said(capsys.readouterr().err, path=tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    for _ in range(2):
        assert run(tmp_path, "--out", tmp_path) == 0
        assert [row["image"] for row in table(tmp_path / "images.csv")] == ["a.png"]


def test_a_folder_with_boxes_and_a_broken_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "right").mkdir(parents=True)
    phantom = make_mammo_phantom(1, SIZE)
    as_dicom_mg(phantom).save_as(source / "right" / "a.dcm", enforce_file_format=True)
    Image.fromarray(phantom.image).save(source / "b.png")
    Image.fromarray(phantom.image).save(source / "c.png")
    (source / "d.png").write_bytes((source / "b.png").read_bytes()[:500])
    nib.save(nib.Nifti1Image(phantom.image.T, np.diag([0.5, 1.0, 1.0, 1.0])), source / "e.nii")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "image,top,left,bottom,right\nright/a.dcm,20,20,60,60\nb.png,20,20,60,60\nb.png,90,50,120,80\ne.nii,20,20,60,60\n"
    )

    assert run(source, "--out", out, "--boxes", boxes) == 1
    assert "1 of 5 images could not be read" in capsys.readouterr().out
    images = {row["image"]: row for row in table(out / "images.csv")}
    assert {name: row["state"] for name, row in images.items()} == {
        "b.png": "done", "c.png": "done", "d.png": "failed", "e.nii": "done", "right/a.dcm": "done",
    }  # fmt: skip
    check_sentence(images["d.png"]["reason"], path=source / "d.png")
    assert images["c.png"]["masses"] == "0"

    masses = table(out / "masses.csv")
    for name, mask in (("right/a.dcm", "right/a"), ("b.png", "b"), ("c.png", "c")):
        pixels = np.asarray(Image.open(out / f"{mask}_mask.png"))
        assert pixels.shape == SIZE
        assert (out / f"{mask}_overlay.png").is_file()
        own = [row for row in masses if row["image"] == name]
        assert len(own) == int(images[name]["masses"])
        assert sum(int(row["area_px"]) for row in own) == np.count_nonzero(pixels)
    assert masses
    for row in masses:
        assert row["score"] == ""
        probabilities = [float(row[shape]) for shape in ("irregular", "lobular", "oval", "round")]
        assert sum(probabilities) == pytest.approx(1, abs=2e-4)
        assert row[row["shape"]] == f"{max(probabilities):.4f}"
        # a mammogram's DICOM object tells the spacing on the detector, not in the breast
        assert row["area_mm2"] == (f"{int(row['area_px']) * 0.5:.2f}" if row["image"] == "e.nii" else "")

    record = json.loads((out / "run.json").read_text())
    assert (record["images"], record["failed"], record["masses"]) == (5, 1, len(masses))
    assert record["stages"]["segmentation"]["settings"] == {"base_width": 4}
    assert "Phantom^Mammogram" not in (out / "run.json").read_text() + (out / "report.html").read_text()
    page = (out / "report.html").read_text()
    assert "d.png" in page
    assert page.count("data:image/png;base64") == 4


def test_a_data_set_is_compared_with_its_truth(run: Run, tmp_path: Path) -> None:
    source = write_mammo_phantoms(tmp_path / "set", count=8, size=SIZE)
    assert run(source, "--out", tmp_path / "out", "--split", "training") == 0
    cases = read_datalist(source).training
    outcomes = table(tmp_path / "out" / "stage_errors.csv")
    assert len(outcomes) == sum(len(case.masks) for case in cases)
    # nothing scores above 1, so that nothing is detected
    assert {row["dice_detected"] for row in outcomes} == {"0.0"}
    rows = read_case_table(tmp_path / "out" / "cases_detected.csv")
    assert [row.id for row in rows] == [case.id for case in cases]
    assert all(row.missed for row in rows)
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("How errors pass from stage to stage", "masks within detected boxes", "Dice of a mass"):
        assert words in page


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], ["'nowhere'"]),
        (["set", "--split", "unlabeled"], ["--split", "'unlabeled'", "training", "validation", "test"]),
        (["empty"], ["'empty'"]),
    ],
)
def test_wrong_input_is_a_line_and_exit_code_2(
    run: Run, words: list[str], named: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert run(*words, "--out", "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    check_said(line, *named)
    assert not Path("out").exists()


def test_a_stage_leaves_its_bundle_as_it_is(tmp_path: Path, stages: list[str]) -> None:
    # where the package is installed nobody may write to it
    bundle = shutil.copytree(find_bundle("mass_shape"), tmp_path / "bundle", ignore=shutil.ignore_patterns("eval"))
    before = sorted(bundle.rglob("*"))
    weights = stages[stages.index("--shape") + 1].removeprefix("mass_shape:")
    assert load_stage(TrainedModel("shape", bundle, weights))(torch.ones(1, 9, 9, dtype=torch.bool))
    assert sorted(bundle.rglob("*")) == before


def test_another_bundle_is_no_stage(tmp_path: Path) -> None:
    with raises_user_error("lite_unet", "inference.json"):
        load_stage(TrainedModel("shape", find_bundle("lite_unet"), str(tmp_path / "model.pt")))
