"""ASSGAN's bundle: both phases, its methods and switches, resume, few labels, and input that cannot work."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.scripts import create_workflow
from PIL import Image

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.run import evaluate_model
from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from bus_monai.experiments.search import parse_space, read_preset
from bus_monai.losses.mutual_supervision import GAMMAS
from bus_monai.metrics.aggregate import means
from bus_monai.metrics.case_table import read_case_table
from bus_monai.networks.weights import read_weights
from bus_monai.report.page import read_history
from tests.bundles.small_generators import small_generators
from tests.user_errors import raises_user_error

CONFIGS = find_bundle("assgan") / "configs"
QUICK = {
    "image_size": [32, 32],
    "batch_size": 4,
    "labeled_fraction": 0.4,
    "phase1_epochs": 1,
    "max_epochs": 2,
    # of half a gigabyte a checkpoint, and the last one is written in any case
    "save_interval": 100,
}


@pytest.fixture(scope="module", autouse=True)
def _few_channels() -> Iterator[None]:
    with small_generators():
        yield


def make(data: Path, out: Path, **settings: Any) -> Any:
    common = {"dataset_dir": str(data), "ckpt_dir": str(out), "output_dir": str(out)}
    return create_workflow(config_file=str(CONFIGS / "train.json"), run_id="training", **(QUICK | common | settings))


def train(data: Path, out: Path, **settings: Any) -> list[dict[str, float]]:
    make(data, out, **settings).run()
    return read_history(out)


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


@pytest.fixture(scope="module")
def whole(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of phase 1 and two of phase 2."""
    out = tmp_path_factory.mktemp("whole")
    train(small_phantoms, out, phase1_epochs=2, max_epochs=4)
    return out


@pytest.fixture(scope="module")
def apart(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those networks, of which the second marks nothing, so that the two never agree."""
    folder = tmp_path_factory.mktemp("apart")
    shutil.copy(whole / "settings.json", folder)
    state = read_weights(whole / "model.pt")
    *_, last = (key for key in state if key.startswith("ensemble.networks.1.") and key.endswith(".bias"))
    torch.save(state | {last: torch.full_like(state[last], -1e3)}, folder / "model.pt")
    return folder


def test_resumed_in_either_phase_equals_undisturbed(whole: Path, small_phantoms: Path, tmp_path: Path) -> None:
    train(small_phantoms, tmp_path, phase1_epochs=2, max_epochs=1)
    for epochs in (3, 4):
        rows = train(small_phantoms, tmp_path, phase1_epochs=2, max_epochs=epochs, resume=True)
        assert rows == read_history(whole)[:epochs]
    one, two = checkpoint(whole)["trainer"], checkpoint(tmp_path)["trainer"]
    for part in ("g1_network", "g2_network", "d_network"):
        for name, value in one[part].items():
            assert torch.equal(value, two[part][name]), (part, name)


def test_history_counts_trusted_images_in_phase_2(whole: Path, small_phantoms: Path) -> None:
    rows = read_history(whole)
    unlabeled = round(0.6 * len(read_datalist(small_phantoms).training))
    assert [row.get("trusted_images", -1.0) >= 0 for row in rows] == [False, False, True, True]
    assert all(row["trusted_images"] <= unlabeled for row in rows[2:])
    assert all({"realism_real", "realism_fake", "semi_loss", "d_loss", "val_dice"} <= row.keys() for row in rows)


def test_weights_serve_as_either_generator(apart: Path, small_phantoms: Path, tmp_path: Path) -> None:
    settings = json.loads((apart / "settings.json").read_text())
    assert (settings["num_generators"], settings["backbone"]) == (2, "resnet18")
    dices = {}
    for used in ("mean", "first", "second"):
        create_workflow(
            config_file=str(CONFIGS / "evaluate.json"), run_id="evaluating", used_generator=used,
            dataset_dir=str(small_phantoms), output_dir=str(tmp_path / used), ckpt_path=str(apart / "model.pt"),
            image_size=[32, 32],
        ).run()  # fmt: skip
        with (tmp_path / used / "cases.csv").open(newline="") as file:
            dices[used] = [row["dice"] for row in csv.DictReader(file)]
    assert dices["first"] != dices["second"]
    # as the command line does, with the settings of the training
    evaluate_model(
        parse_models([f"assgan:{apart / 'model.pt'}"])[0], tmp_path / "cli", {"dataset_dir": str(small_phantoms)}
    )
    with (tmp_path / "cli" / "cases.csv").open(newline="") as file:
        assert [row["dice"] for row in csv.DictReader(file)] == dices["mean"]


def test_the_mean_of_both_generators_is_one_command(
    apart: Path, small_phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bus_monai(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["bus-monai", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code in (0, None)

    evaluating = ["evaluate", f"assgan:{apart / 'model.pt'}", "--data", str(small_phantoms), "--out", str(tmp_path)]
    bus_monai(*evaluating)
    plain = read_case_table(tmp_path / "cases.csv")
    assert (tmp_path / "overlays.png").is_file()
    bus_monai(*evaluating, "--set", "used_generator=each")
    both = [means(read_case_table(tmp_path / used / "cases.csv"), "pooled") for used in ("first", "second")]
    rows = read_case_table(tmp_path / "cases.csv")
    assert [row.id for row in rows] == 2 * [row.id for row in plain]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["lesion"]["metrics"]["dice"]["n_cases"] == sum(row.has_lesion for row in plain)
    of_means = means(rows, "lesion")["dice"]
    each = [means(read_case_table(tmp_path / used / "cases.csv"), "lesion")["dice"] for used in ("first", "second")]
    assert of_means == pytest.approx(sum(each) / 2)
    assert both[0] != both[1]
    page = (tmp_path / "report.html").read_text()
    assert f"{len(plain)} cases, {len({row.group for row in plain})} groups, each case scored by 2 networks." in page
    assert "The images are generated phantoms" in page
    # of the network before
    assert not {path.stem for path in tmp_path.iterdir()} & {"overlays", "examples"}
    bus_monai("compare", f"mean={tmp_path}", f"one={tmp_path / 'first'}", "--out", str(tmp_path / "compared"))
    with (tmp_path / "compared" / "comparison.csv").open(newline="") as file:
        (test,) = csv.DictReader(file)
    assert float(test["difference"]) == pytest.approx((each[1] - each[0]) / 2)


def test_trusted_images_over_gamma(whole: Path) -> None:
    with (whole / "trusted.csv").open(newline="") as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    gammas, counts, shares = zip(*rows, strict=True)
    assert gammas == GAMMAS
    assert list(counts) == sorted(counts, reverse=True)
    # two batches of four in an epoch
    assert shares == pytest.approx([count / 8 for count in counts])
    assert dict(zip(gammas, counts, strict=True))[0.5] == read_history(whole)[-1]["trusted_images"]
    assert (whole / "trusted.png").read_bytes().startswith(b"\x89PNG")


def network_parts(folder: Path) -> set[str]:
    return {name for name in checkpoint(folder)["trainer"] if name.endswith("_network")}


@pytest.mark.parametrize(
    ("settings", "parts", "has_semi"),
    [
        ({"method": "hung"}, {"g1_network", "d_network"}, True),
        ({"method": "supervised"}, {"g1_network", "g2_network"}, False),
        ({"method": "supervised", "num_generators": 1, "labeled_fraction": 1}, {"g1_network"}, False),
        ({"num_generators": 1}, {"g1_network", "d_network"}, False),
        ({"use_discriminator": False}, {"g1_network", "g2_network"}, True),
        ({"paper_literal": True, "gamma": 1e-6}, {"g1_network", "g2_network", "d_network"}, True),
        (
            {"hard_scores": False, "confidence": "pixel", "gamma": 1e-6, "amp": False},
            {"g1_network", "g2_network", "d_network"},
            True,
        ),
    ],
)
def test_methods_and_ablations(
    settings: dict[str, Any], parts: set[str], has_semi: bool, small_phantoms: Path, tmp_path: Path
) -> None:
    rows = train(small_phantoms, tmp_path, **({"gamma": 1e-6} | settings))
    assert network_parts(tmp_path) == parts
    assert rows[0]["semi_loss"] == 0
    assert (rows[1]["semi_loss"] > 0) is has_semi
    assert json.loads((tmp_path / "settings.json").read_text())["num_generators"] == len(parts - {"d_network"})


def test_paper_literal_is_the_papers_algorithm(small_phantoms: Path, tmp_path: Path) -> None:
    for literal, weights, switches in ((True, (1.0, 1.0, 1.0), False), (False, (0.01, 0.001, 1.0), True)):
        parser = make(small_phantoms, tmp_path, paper_literal=literal).parser
        found = tuple(
            parser.get_parsed_content(f"settings#{key}") for key in ("lambda_adv", "lambda_adv_u", "lambda_semi")
        )
        assert found == weights
        assert parser.get_parsed_content("settings#phase2_use_labeled") is switches
        assert parser.get_parsed_content("settings#phase2_update_d") is switches
        assert parser.get_parsed_content("settings#hard_scores") is switches
        assert parser.get_parsed_content("settings#separate_ce_step") is literal


def test_presets_are_the_papers_tables() -> None:
    spaces = {name: parse_space(read_preset(CONFIGS.parent, name)) for name in ("ablation", "gamma", "labels")}
    assert {name: [(choice.key, choice.values) for choice in space] for name, space in spaces.items()} == {
        "ablation": [("num_generators", (1, 2)), ("use_discriminator", (False, True))],
        "gamma": [("gamma", (0.2, 0.35, 0.5, 0.65, 0.8))],
        "labels": [("labeled_fraction", (0.5, 0.3, 0.15, 0.05))],
    }


def test_unlabeled_images_may_lack_masks(small_phantoms: Path, tmp_path: Path) -> None:
    """A data set with an ``unlabeled`` section of its own, of any number of images, some with a mask."""
    data = tmp_path / "set"
    data.mkdir()
    content = json.loads((small_phantoms / "datalist.json").read_text())
    for section in ("training", "validation"):
        for item in content[section]:
            for kind in ("image", "masks"):
                for name in [item[kind]] if kind == "image" else item[kind]:
                    (data / name).parent.mkdir(exist_ok=True)
                    (data / name).write_bytes((small_phantoms / name).read_bytes())
    hidden = content["training"][6:15]
    content["unlabeled"] = [
        item | {"masks": item["masks"][: n % 2], "diagnosis": "benign"} for n, item in enumerate(hidden)
    ]
    content["training"] = content["training"][:6]
    del content["test"]
    (data / "datalist.json").write_text(json.dumps(content))
    rows = train(data, tmp_path, labeled_fraction=None, gamma=1e-6)
    # two batches of four; the ninth image waits for another epoch
    assert rows[1]["trusted_images"] == 8


@pytest.mark.parametrize(
    ("settings", "key", "named"),
    [
        *(
            ({"labeled_fraction": 1, "method": method}, "method", [method, "labeled_fraction", "unlabeled"])
            for method in ("assgan", "hung")
        ),
        ({"labeled_fraction": 0}, "labeled_fraction", [0, 1, "null"]),
        ({"gamma": 1}, "gamma", [1, 0, 0.5]),
        ({"method": "mean_teacher"}, "method", ["mean_teacher", "assgan", "hung", "supervised"]),
    ],
)
def test_settings_that_cannot_work_are_named(
    settings: dict[str, Any], key: str, named: list[object], small_phantoms: Path, tmp_path: Path
) -> None:
    with raises_user_error(*named, key=key, wrapped=True):
        train(small_phantoms, tmp_path, **settings)


@pytest.mark.parametrize(
    ("labeled", "named"),
    [(0, ["training", "datalist.json"]), (1, ["batch_size"])],
)
def test_too_few_labeled_images(labeled: int, named: list[str], tmp_path: Path) -> None:
    Image.new("L", (64, 64), 90).save(tmp_path / "a.png")
    item = {"image": "a.png", "masks": [], "diagnosis": "normal"}
    names = {"training": "tu"[:labeled], "validation": "v", "unlabeled": "abcd"}
    content = {section: [item | {"id": i, "group": i} for i in ids] for section, ids in names.items()}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    with raises_user_error(*named, wrapped=True):
        train(tmp_path, tmp_path / "out", labeled_fraction=None, box="full")
