"""The report of a run: what it shows, in a real browser, from one file."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bus_monai.metrics.aggregate import summarize_all
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.segmentation import score_case
from bus_monai.report.evaluation_report import write_run_report
from bus_monai.report.image_figures import contour_figure
from bus_monai.report.page import read_history, summary_text
from tests.user_errors import raises_user_error


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
    figure = contour_figure([truth] * 2, [truth] * 2, [np.roll(truth, 2, 0)] * 2, ["one", "two"])
    figure.savefig(tmp_path / "examples.png")
    return tmp_path


def test_every_figure_comes_from_the_summary(folder: Path) -> None:
    page = write_run_report(folder).read_text()
    summary = json.loads((folder / "summary.json").read_text())
    for rule in summary.values():
        for metric, value in rule["metrics"].items():
            row = re.search(rf"<tr><td>{metric}</td><td>([-\d.]+)</td>", page)
            assert row is not None
            assert f"{value['mean']:.4f}" in page or f"{value['mean']:.1f}" in page
    assert summary["lesion"]["text"].split(";")[0] in page
    assert "not for clinical use" in page


def test_the_page_stands_alone_and_opens_in_a_browser(folder: Path, chromium: str) -> None:
    path = write_run_report(folder)
    assert not re.search(r'(src|href)="(?!data:)', path.read_text())
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    command = [chromium, *options, "--virtual-time-budget=4000", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<h2>Curves</h2>" in dom
    assert dom.count("data:image/png;base64") == 2
    assert "95 % interval" in dom


@pytest.mark.parametrize(("missing", "step"), [("history.csv", "train"), ("summary.json", "evaluate")])
def test_what_is_missing_is_named_with_the_step_that_makes_it(folder: Path, missing: str, step: str) -> None:
    (folder / missing).unlink()
    with raises_user_error(step, f"--output_dir {folder}", path=folder / missing):
        write_run_report(folder)


def test_a_broken_summary_is_named(folder: Path) -> None:
    (folder / "summary.json").write_text("")
    with raises_user_error("evaluate", f"--output_dir {folder}", path=folder / "summary.json"):
        write_run_report(folder)


def test_history_leaves_out_what_an_epoch_did_not_have(folder: Path) -> None:
    assert "d_loss" not in read_history(folder)[0]
    assert read_history(folder)[4]["d_loss"] == -5


def test_summary_as_text_names_each_rule_and_interval(folder: Path) -> None:
    text = summary_text(json.loads((folder / "summary.json").read_text()))
    assert "lesion: Mean over the cases with a lesion" in text
    assert re.search(r"dice +0\.\d{4} +\[0\.\d{4}, 0\.\d{4}\] +4 cases", text)
