"""What ASSGAN is for: with few labels it beats plain supervision with the same labels and as many steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from monai.bundle.scripts import create_workflow

from bus_monai.bundle.registry import find_bundle
from bus_monai.data.datalist import Case, Datalist, read_datalist, write_datalist
from bus_monai.data.phantoms.ultrasound import write_phantoms
from bus_monai.metrics.case_table import read_case_table
from bus_monai.report.page import read_history

CONFIGS = find_bundle("assgan") / "configs"
TEST, VALIDATION, POOL, LABELED = 56, 16, 72, 8
SETTINGS: dict[str, Any] = {
    "image_size": [64, 64],
    "batch_size": 4,
    "phase1_epochs": 100,
    "max_epochs": 105,
    "val_interval": 5,
    "figure_interval": 1000,
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Case]]:
    folder = write_phantoms(tmp_path_factory.mktemp("few") / "set", count=160)
    cases = sorted((case for _, part in read_datalist(folder).sections() for case in part), key=lambda case: case.id)
    return folder, [case for case in cases if case.diagnosis != "normal"][: TEST + VALIDATION + POOL]


def trained_dice(folder: Path, out: Path, seed: int, method: str) -> float:
    paths = {"dataset_dir": str(folder), "output_dir": str(out)}
    create_workflow(
        config_file=str(CONFIGS / "train.json"), run_id="training", ckpt_dir=str(out), seed=seed, method=method,
        **paths, **SETTINGS,
    ).run()  # fmt: skip
    assert len(read_history(out)) == SETTINGS["max_epochs"]
    create_workflow(
        config_file=str(CONFIGS / "evaluate.json"), run_id="evaluating", ckpt_path=str(out / "model.pt"), method=method,
        image_size=SETTINGS["image_size"], **paths,
    ).run()  # fmt: skip
    return mean(row.dice for row in read_case_table(out / "cases.csv") if row.dice is not None)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_unlabeled_images_help(phantoms: tuple[Path, Sequence[Case]], tmp_path: Path) -> None:
    """Three seeds, each with eight other labeled phantoms of 72; the same 56 are tested."""
    folder, cases = phantoms
    test, validation, pool = cases[:TEST], cases[TEST : TEST + VALIDATION], cases[TEST + VALIDATION :]
    dices: dict[str, list[float]] = {"supervised": [], "assgan": []}
    for seed in range(3):
        few = pool[LABELED * seed : LABELED * (seed + 1)]
        others = [case for case in pool if case not in few]
        write_datalist(folder, Datalist(few, validation, test, others, synthetic=True))
        for method in dices:
            dices[method].append(trained_dice(folder, tmp_path / f"{method}{seed}", seed, method))
    assert mean(dices["assgan"]) > mean(dices["supervised"]), dices
