"""``bus-monai explain`` from weights to the report."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bus_monai.cli import main as cli
from bus_monai.explain.explainer import Explainer
from bus_monai.explain.explanation import ExplainItem, Explanation
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.report import paper
from bus_monai.report.paper import COLUMN_INCHES
from tests.user_errors import check_said, check_sentence


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with dropout and without attention, as a training of the bundle ``baseline`` leaves it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "model.pt"
    torch.save(make_segmenter("erfnet").state_dict(), path)
    (path.parent / "settings.json").write_text(json.dumps({"network_name": "erfnet", "image_size": [32, 48]}))
    return path


def run(*arguments: object, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "explain", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == code


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_data_set_with_truth(
    weights: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(
        f"baseline:{weights}", small_phantoms, "--out", out, "--split", "training", "--cases", 2, "--samples", 3,
        "--maps", "npy", code=0, monkeypatch=monkeypatch,
    )  # fmt: skip
    cases = json.loads((small_phantoms / "datalist.json").read_text())["training"][:2]
    table = rows(out / "explain.csv")
    assert list(table[0]) == ["image", "method", "layer", "energy_inside", "chance"]
    methods = ["grad_cam", "grad_cam_pp", "occlusion", "dropout", "augmentation"]
    assert [(row["image"], row["method"]) for row in table] == [(c["id"], m) for c in cases for m in methods]
    assert table[0]["layer"] == "network.network.decoder.9"
    assert table[2]["layer"] == ""
    for case in cases:
        assert Image.open(out / f"{case['id']}_explain.png").width > COLUMN_INCHES * paper.DPI
        mask = np.zeros((64, 64), bool)
        for path in case["masks"]:
            mask |= np.asarray(Image.open(small_phantoms / path)) > 0
        for row in (row for row in table if row["image"] == case["id"]):
            values = np.load(out / "maps" / f"{case['id']}_{row['method']}.npy")
            assert values.shape == (64, 64)
            assert values.dtype == np.float32
            assert 0 <= values.min() <= values.max() <= 1
            if mask.any() and values.any():
                assert float(row["energy_inside"]) == pytest.approx(values[mask].sum() / values.sum(), abs=1e-4)
                assert float(row["chance"]) == pytest.approx(mask.mean(), abs=1e-4)
    assert rows(out / "images.csv") == [{"image": c["id"], "state": "done", "reason": ""} for c in cases]
    report = (out / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 2
    assert "Do the maps point at the lesion?" in report


def test_a_broken_image_is_a_row_and_exit_code_1(
    weights: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "images", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"no image")
    shutil.copy(small_phantoms / "images" / "phantom_0000.png", folder / "deep" / "b.png")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(folder / "black.png")
    run(
        f"baseline:{weights}", folder, "--out", out, "--methods", "grad_cam", "--layer", "network.network.decoder.0",
        "--maps", "png", code=1, monkeypatch=monkeypatch,
    )  # fmt: skip
    first, black, last = rows(out / "images.csv")
    assert (first["image"], first["state"]) == ("a.png", "failed")
    assert first["reason"].startswith(f"'{folder / 'a.png'}'")
    assert black["state"] == "failed"
    check_sentence(black["reason"], "every pixel is 0", path=folder / "black.png")
    assert last == {"image": "deep/b.png", "state": "done", "reason": ""}
    assert rows(out / "explain.csv") == [
        {
            "image": "deep/b.png",
            "method": "grad_cam",
            "layer": "network.network.decoder.0",
            "energy_inside": "",
            "chance": "",
        }
    ]
    assert (out / "deep" / "b_explain.png").is_file()
    assert Image.open(out / "maps" / "deep" / "b_grad_cam.png").size == (64, 64)
    report = (out / "report.html").read_text()
    assert "<b>2 images could not be read</b>" in report
    assert "Do the maps point at the lesion?" not in report


def test_only_what_an_earlier_run_wrote_is_replaced(
    weights: Path,
    small_phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(small_phantoms / "images" / "phantom_0000.png", folder / "b.png")
    words = [f"baseline:{weights}", folder, "--out", folder, "--methods", "grad_cam"]
    others = ("report.html", "images.csv", "explain.csv", "b_explain.png", "maps/b_grad_cam.png", "maps/b_grad_cam.npy")
    for name in others:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("about bus_monai, mine")
        run(*words, "--maps", "png" if name.endswith("png") else "npy", code=2, monkeypatch=monkeypatch)
        check_said(capsys.readouterr().err, path=path, key="--out")
        assert [one.read_text() for one in folder.rglob("*") if one.is_file() and one.name != "b.png"] == [
            "about bus_monai, mine"
        ]
        path.unlink()
    for _ in range(2):
        for maps in ("png", "npy"):
            run(*words, "--maps", maps, code=0, monkeypatch=monkeypatch)
            assert [row["image"] for row in rows(folder / "images.csv")] == ["b.png"]


@pytest.mark.parametrize(
    ("arguments", "key", "named"),
    [
        (["--methods", "gradcam"], "--methods", ["'gradcam'", "'grad_cam'", "occlusion", "dropout"]),
        (["--methods", "attention"], "--methods", ["'attention'"]),
        (
            ["--layer", "network.network.decodr.9"],
            "--layer",
            ["'network.network.decodr.9'", "network.network.decoder.9", "network.network.encoder.9"],
        ),
        (["--split", "train"], "--split", ["'train'", "training", "validation", "test", "unlabeled"]),
        (["--maps", "jpg"], "--maps", ["jpg", "png", "npy"]),
        (["--methods", "occlusion", "--beside", "lite_unet"], "--methods", ["--beside", "grad_cam"]),
    ],
)
def test_what_is_wrong_is_named(
    arguments: list[str],
    key: str,
    named: list[str],
    weights: Path,
    small_phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ["--out", str(tmp_path / "out")]
    run(f"baseline:{weights}", small_phantoms, *out, *arguments, code=2, monkeypatch=monkeypatch)
    check_said(capsys.readouterr().err, *named, key=key)


def test_an_ensemble_is_refused(
    weights: Path,
    small_phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = f"baseline:{weights},{weights}"
    run(model, small_phantoms, "--out", tmp_path / "out", code=2, monkeypatch=monkeypatch)
    check_said(capsys.readouterr().err, "ensemble")


def test_models_stand_beside_one_another_each_explained_once(
    weights: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked: list[str] = []
    explained = Explainer.__call__

    def count(self: Explainer, item: ExplainItem) -> Explanation:
        asked.append(self.layer)
        return explained(self, item)

    monkeypatch.setattr(Explainer, "__call__", count)
    layer = "network.network.decoder.0"
    run(
        f"trained=baseline:{weights}", small_phantoms, "--out", out, "--split", "training", "--cases", 1,
        "--methods", "grad_cam", "--layer", layer, "--beside", f"again=baseline:{weights}", "--beside", "lite_unet",
        code=0, monkeypatch=monkeypatch,
    )  # fmt: skip
    assert len(asked) == 3
    assert asked[0] == layer
    # letters are outlines there, each word a comment before its own
    words = re.findall(r"<!-- (\w+) -->", (out / "grad_cam_grid.svg").read_text())
    assert [word for word in words if word in ("trained", "again", "lite_unet")] == ["trained", "again", "lite_unet"]
    assert (out / "report.html").read_text().count("data:image/png;base64,") == 2
