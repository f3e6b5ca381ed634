"""Every number of a page can be computed from its tables, and the page opens in a real browser from one file."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from bus_monai.metrics.aggregate import summarize_all
from bus_monai.metrics.case_table import CaseRow, read_case_table, write_case_table
from bus_monai.metrics.compare import write_folds
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.metrics.segmentation import score_case
from bus_monai.report.evaluation_report import write_evaluation_report
from bus_monai.report.image_figures import contour_figure
from bus_monai.report.page import number
from bus_monai.report.paper import LINE_COLORS, metric_name
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S


def tables(page: str) -> dict[str, list[list[str]]]:
    """Cells of each table by its name."""
    return {
        unescape(name): [
            [unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
        ]
        for name, body in re.findall(r'<table data-rule="([^"]+)">(.*?)</table>', page, re.DOTALL)
    }


def mean(rows: list[CaseRow], metric: str) -> str:
    return number(float(np.mean([getattr(row, metric) for row in rows])))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, bad: list[CaseRow]) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_case_table(folder / "cases.csv", bad)
    return write_evaluation_report(folder)


@pytest.fixture
def page(written: Path) -> str:
    return written.read_text(encoding="utf-8")


def test_scores_are_those_of_the_table(written: Path, page: str) -> None:
    rows = read_case_table(written.with_name("cases.csv"))
    lesions, normals = [r for r in rows if r.has_lesion], [r for r in rows if not r.has_lesion]
    found = tables(page)
    by_rule = {rule: {line[0]: line[1] for line in lines} for rule, lines in found.items()}
    for metric in ("dice", "iou", "precision", "sensitivity", "specificity", "accuracy", "m_iou", "hd95_px", "assd_px"):
        assert by_rule["lesion"][metric_name(metric)] == mean(lesions, metric)
    detected = [row for row in lesions if row.tp]
    assert by_rule["lesion"]["HD95 of detected (px)"] == mean(detected, "hd95_px")
    tp, fp, fn = (sum(getattr(r, n) for r in rows) for n in ("tp", "fp", "fn"))
    assert by_rule["pooled"]["Dice"] == number(2 * tp / (2 * tp + fp + fn))
    assert by_rule["all_cases_zero"]["IoU"] == number(sum(r.iou or 0 for r in rows) / len(rows))
    assert by_rule["normal"]["Per-image false-positive rate"] == mean(normals, "false_positive")
    found_lesions, all_lesions = sum(r.lesions_found for r in rows), sum(r.lesions for r in rows)
    assert by_rule["detection"]["Lesion sensitivity"] == number(found_lesions / all_lesions)
    curves, agreement = operating_curves(rows), bland_altman(rows)
    assert curves is not None
    assert agreement is not None
    assert by_rule["measures"]["Area under ROC, all pixels"] == number(curves.auc)
    assert by_rule["measures"]["Expected calibration error, all pixels"] == number(curves.calibration_error)
    assert by_rule["measures"][f"Predicted minus true area ({agreement.unit})"] == number(agreement.bias)
    for name in ("benign", "malignant"):
        line = next(line for line in found["By diagnosis"] if line[0] == name)
        part = [r for r in lesions if r.diagnosis == name]
        assert line[1:3] == [str(len(part)), mean(part, "dice")]
        assert line[-1] == str(sum(r.missed for r in part))


def test_thirds_by_size_hold_each_lesion_once(page: str, bad: list[CaseRow]) -> None:
    thirds = tables(page)["By the size of the lesion"][1:]
    assert [line[0].split(",")[0] for line in thirds] == ["small", "medium", "large"]
    assert sum(int(line[1]) for line in thirds) == sum(row.has_lesion for row in bad)


def test_a_case_that_two_networks_scored_is_one(tmp_path: Path, page: str, bad: list[CaseRow]) -> None:
    write_case_table(tmp_path / "cases.csv", bad * 2)
    both = write_evaluation_report(tmp_path).read_text(encoding="utf-8")
    one, two = tables(page), tables(both)
    assert {name: lines for name, lines in two.items() if name not in ("cases", "measures")} == {
        name: lines for name, lines in one.items() if name not in ("cases", "measures")
    }
    assert len(two["cases"]) == 1 + 2 * len(bad)
    assert f"<p>{len(bad)} cases, " in both
    assert "each case scored by 2 networks" in both


def test_all_cases_stand_in_it_the_worst_first(page: str, bad: list[CaseRow]) -> None:
    lines = tables(page)["cases"][1:]
    assert sorted(line[0] for line in lines) == sorted(row.id for row in bad)
    dice = [float(line[2]) for line in lines if line[2]]
    assert dice == sorted(dice)


def test_a_set_without_lesions_has_a_page(tmp_path: Path, bad: list[CaseRow]) -> None:
    write_case_table(tmp_path / "cases.csv", [row for row in bad if not row.has_lesion])
    page = write_evaluation_report(tmp_path).read_text(encoding="utf-8")
    assert set(tables(page)) == {"normal", "cases"}


def headless(chromium: str, folder: Path) -> list[str]:
    """Return the command of a browser that shares nothing with another one."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    return [chromium, *options]


def test_the_page_is_one_file_and_a_browser_draws_it(tmp_path: Path, written: Path, page: str, chromium: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    picture = tmp_path / "page.png"
    command = [*headless(chromium, tmp_path), "--window-size=1100,3000"]
    subprocess.run(
        [*command, f"--screenshot={picture}", written.as_uri()], check=True, capture_output=True, timeout=PATIENCE_S
    )
    colors = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # curves in the first color
    blue = np.round(255 * np.array(to_rgb(LINE_COLORS[0])))
    assert (np.abs(colors.astype(int) - blue).max(axis=1) < 8).sum() > 500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What training and evaluation leave."""
    history = [
        {"epoch": e, "g_region_loss": 1 / e, "d_loss": "" if e == 1 else -e, "val_dice": 1 - 1 / e} for e in range(1, 6)
    ]
    with (tmp_path / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    truth = np.zeros((32, 32))
    truth[8:20, 8:20] = 1
    rows = [
        CaseRow.of(score_case(np.roll(truth, i, 0), truth), id=f"c{i}", group=f"g{i}", diagnosis="benign")
        for i in range(4)
    ]
    (tmp_path / "summary.json").write_text(json.dumps(summarize_all(rows)))
    write_case_table(tmp_path / "cases.csv", rows)
    figure = contour_figure([truth] * 2, [truth] * 2, [np.roll(truth, 2, 0)] * 2, ["one", "two"])
    figure.savefig(tmp_path / "examples.png")
    return tmp_path


def test_the_page_tells_of_training_data_folds_and_other_files(folder: Path, chromium: str) -> None:
    data = {"digest": "0123456789abcdef" * 4, "synthetic": True}
    (folder / "data.json").write_text(json.dumps(data))
    write_folds(folder / "folds.csv", {"dice": [0.5, 0.7], "iou": [0.4, 0.5]})
    picture = folder / "examples.png"
    path = write_evaluation_report(folder, segmented=picture)
    page = path.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "0123456789abcdef<" in page
    assert "generated phantoms" in page
    assert "bus-monai segment FOLDER" in page
    assert tables(page)["folds"] == [
        ["Fold", "Dice", "IoU"],
        ["0", "0.5000", "0.4000"],
        ["1", "0.7000", "0.5000"],
        ["mean", "0.6000", "0.4500"],
        ["standard deviation", "0.1414", "0.0707"],
    ]
    with (folder / "tables" / "folds.csv").open(newline="") as file:
        assert list(csv.reader(file)) == tables(page)["folds"]
    with (folder / "tables" / "measures.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == tables(page)["measures"]
    command = [*headless(chromium, folder), "--virtual-time-budget=4000", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    assert "<h2>Training</h2>" in dom
    assert dom.count("data:image/png;base64") == 6


def test_a_page_with_less_leaves_no_table_and_no_figure_of_the_one_before(folder: Path) -> None:
    write_folds(folder / "folds.csv", {"dice": [0.5, 0.7]})
    write_evaluation_report(folder)
    before = {path.name for below in ("figures", "tables") for path in (folder / below).iterdir()}
    assert {"folds.csv", "folds.tex", "training.png", "training.svg"} < before
    for name in ("folds.csv", "history.csv"):
        (folder / name).unlink()
    write_evaluation_report(folder)
    after = {path.name for below in ("figures", "tables") for path in (folder / below).iterdir()}
    assert before - after == {"folds.csv", "folds.tex", "training.png", "training.svg"}


def test_real_images_are_not_called_phantoms(folder: Path) -> None:
    (folder / "data.json").write_text(json.dumps({"digest": "0" * 64, "synthetic": False}))
    assert "phantoms" not in write_evaluation_report(folder).read_text()


@pytest.mark.parametrize("name", ["cases.csv", "data.json", "folds.csv"])
def test_what_is_missing_or_broken_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if name != "cases.csv":
        (folder / name).write_text("{")
    with raises_user_error("evaluate" if name != "folds.csv" else "cross-validate", path=folder / name):
        write_evaluation_report(folder)
