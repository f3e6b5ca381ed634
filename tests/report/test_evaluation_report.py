"""Every number of the page can be computed from cases.csv."""

from __future__ import annotations

import re
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.metrics.case_table import CaseRow, read_case_table, write_case_table
from bus_monai.metrics.operating_curves import bland_altman, operating_curves
from bus_monai.report.evaluation_report import write_evaluation_report
from bus_monai.report.page import number


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


@pytest.fixture
def page(tmp_path: Path, bad: list[CaseRow]) -> str:
    write_case_table(tmp_path / "cases.csv", bad)
    return write_evaluation_report(tmp_path).read_text(encoding="utf-8")


def test_scores_are_those_of_the_table(tmp_path: Path, page: str) -> None:
    rows = read_case_table(tmp_path / "cases.csv")
    lesions, normals = [r for r in rows if r.has_lesion], [r for r in rows if not r.has_lesion]
    found = tables(page)
    by_rule = {rule: {line[0]: line[1] for line in lines} for rule, lines in found.items()}
    for metric in ("dice", "iou", "precision", "sensitivity", "specificity", "accuracy", "m_iou", "hd95_px", "assd_px"):
        assert by_rule["lesion"][metric] == mean(lesions, metric)
    tp, fp, fn = (sum(getattr(r, n) for r in rows) for n in ("tp", "fp", "fn"))
    assert by_rule["pooled"]["dice"] == number(2 * tp / (2 * tp + fp + fn))
    assert by_rule["all_cases_zero"]["iou"] == number(sum(r.iou or 0 for r in rows) / len(rows))
    assert by_rule["normal"]["false_positive_rate"] == mean(normals, "false_positive")
    found_lesions, all_lesions = sum(r.lesions_found for r in rows), sum(r.lesions for r in rows)
    assert by_rule["detection"]["lesion_sensitivity"] == number(found_lesions / all_lesions)
    curves, agreement = operating_curves(rows), bland_altman(rows)
    assert curves is not None
    assert agreement is not None
    assert by_rule["curves"]["area under ROC"] == number(curves.auc)
    assert by_rule["curves"]["expected calibration error"] == number(curves.calibration_error)
    assert f'<b id="bias">{number(agreement.bias)}</b>' in page
    for name in ("benign", "malignant"):
        line = next(line for line in found["By diagnosis"] if line[0] == name)
        part = [r for r in lesions if r.diagnosis == name]
        assert line[1:3] == [str(len(part)), mean(part, "dice")]
        assert line[-1] == str(sum(r.missed for r in part))


def test_thirds_by_size_hold_each_lesion_once(page: str, bad: list[CaseRow]) -> None:
    thirds = tables(page)["By the size of the lesion"][1:]
    assert [line[0].split(",")[0] for line in thirds] == ["small", "medium", "large"]
    assert sum(int(line[1]) for line in thirds) == sum(row.has_lesion for row in bad)


def test_all_cases_stand_in_it_the_worst_first(page: str, bad: list[CaseRow]) -> None:
    lines = tables(page)["cases"][1:]
    assert sorted(line[0] for line in lines) == sorted(row.id for row in bad)
    dice = [float(line[2]) for line in lines if line[2]]
    assert dice == sorted(dice)


def test_a_set_without_lesions_has_a_page(tmp_path: Path, bad: list[CaseRow]) -> None:
    write_case_table(tmp_path / "cases.csv", [row for row in bad if not row.has_lesion])
    page = write_evaluation_report(tmp_path).read_text(encoding="utf-8")
    assert set(tables(page)) == {"normal", "cases"}


def test_the_page_is_one_file_and_a_browser_draws_it(tmp_path: Path, bad: list[CaseRow], chromium: str) -> None:
    write_case_table(tmp_path / "cases.csv", bad)
    page = write_evaluation_report(tmp_path)
    assert not re.findall(r'(?:src|href)="(?!data:)', page.read_text(encoding="utf-8"))
    picture = tmp_path / "page.png"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,3000"]
    subprocess.run([*command, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True, timeout=120)
    colors = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # curves in matplotlib's blue
    assert (np.abs(colors.astype(int) - (31, 119, 180)).max(axis=1) < 8).sum() > 500
