"""The page that a site signs: rates with intervals, what is too little, and what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bus_monai.data.audit.audit_folder import audit_folder
from bus_monai.data.phantoms.ultrasound import write_phantoms
from bus_monai.metrics.case_table import CaseRow
from bus_monai.metrics.segmentation import score_case
from bus_monai.report.validation_report import operating_point, share, write_validation_report


def row(number: int, truth: bool, predicted: bool) -> CaseRow:
    masks = [np.zeros((32, 32), bool) for _ in range(2)]
    for mask, is_there in zip(masks, (truth, predicted), strict=True):
        mask[8:16, 8:16] = is_there
    scores = score_case(masks[1].astype(np.float32), masks[0])
    return CaseRow.of(scores, id=str(number), group=str(number), diagnosis="benign" if truth else "normal")


ROWS = [row(0, True, True), row(1, True, False), row(2, True, True), row(3, False, True), row(4, False, False)]


def test_rates_are_counted_by_image_and_by_lesion() -> None:
    found = operating_point(ROWS)
    assert (found["found"]["count"], found["found"]["of"]) == (2, 3)
    assert (found["seen"]["count"], found["seen"]["of"]) == (2, 3)
    assert (found["marked"]["count"], found["marked"]["of"]) == (1, 2)
    assert found["dice"]["mean"] == pytest.approx(2 / 3)
    assert operating_point(ROWS[3:])["dice"] is None
    assert operating_point(ROWS[:3])["marked"]["mean"] is None


def test_intervals_are_wilsons() -> None:
    assert share(0, 10) == {"count": 0, "of": 10, "mean": 0.0, "low": 0.0, "high": 0.278}
    assert share(0, 0)["low"] is None


def test_the_page_says_what_was_measured_and_what_is_too_little(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "site", count=3, seed=0)
    audit = audit_folder(tmp_path / "site")
    page = write_validation_report({"high": ROWS, "balanced": ROWS[:3]}, audit, {"Model": "a <model>"}, tmp_path)
    text = page.read_text()
    assert "a &lt;model&gt;" in text
    assert "Too few images with a lesion and without" in text
    assert re.findall(r"<tr><td>(\w+)</td><td>(\d of \d)", text) == [("high", "2 of 3"), ("balanced", "2 of 3")]
    assert text.count("none to judge by") == 1
    assert "RESEARCH, not for clinical use" in text
