"""Texts of tables are no formulas, reasons say what is wrong with the file, and results are their owner's alone."""

from __future__ import annotations

import csv
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from bus_monai.errors import reading
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import job_tables
from bus_monai.io.atomic import plain_cell
from bus_monai.sources.readers import Readers
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import PNG, draw, table, ultrasound
from tests.user_errors import check_sentence, raises_user_error

HOSTILE = ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "a\nb", "a\r\n=1"]


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula_or_has_a_newline(text: str) -> None:
    cell = plain_cell(text)
    assert isinstance(cell, str)
    assert cell.isprintable()
    assert cell.lstrip()[0] not in "=+-@"


@pytest.mark.parametrize("value", [-1.5, 3, None, "-0.5", "+2", "/a/b.dcm", "Lésion 1", ""])
def test_numbers_and_plain_texts_stay(value: object) -> None:
    assert plain_cell(value) == value


def test_tables_of_jobs_are_plain(bright: Any, tmp_path: Path) -> None:
    with job_tables(tmp_path, {"job.csv": ["a"]}, pictures="pictures") as (job,):
        job.writerows([text] for text in HOSTILE)
    source = tmp_path / "in"
    draw(source / "=1+1.png", (2, 2, 8, 8))
    draw(source / "+a\n@b.png", (2, 2, 8, 8))
    segment_inputs([source], tmp_path / "out", bright, SegmentSettings(PNG))
    for path in (tmp_path / "job.csv", tmp_path / "out" / "results.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len(rows) > 2
        assert all(cell.isprintable() and not cell.startswith(("=", "+", "@")) for row in rows for cell in row)


@pytest.mark.parametrize(
    ("error", "lacks"), [(KeyError(Tag(0x300A0782)), "(300A,0782)"), (KeyError("PixelSpacing"), "PixelSpacing")]
)
def test_a_missing_element_is_said_to_be_missing(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KeyError, lacks: str
) -> None:
    path = ultrasound(tmp_path / "in" / "x.dcm")

    def fail(pixels: np.ndarray) -> np.ndarray:
        raise error

    monkeypatch.setattr(bright, "predict", fail)
    segment_inputs([path], tmp_path / "out", bright, SegmentSettings(PNG))
    reason = table(tmp_path / "out")[0]["reason"]
    check_sentence(reason, lacks, path=path)
    assert "KeyError" not in reason
    with raises_user_error(f"{lacks} is missing", path=path), reading(path, "DICOM", errors=(KeyError,)):
        raise error


def test_a_reason_is_short_whatever_the_file_holds(bright: Any, tmp_path: Path) -> None:
    with pydicom.config.disable_value_validation():
        ultrasound(tmp_path / "in" / "x.dcm", Modality="M" * 60_000)
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    (row,) = table(tmp_path / "out")
    assert row["state"] == "skipped"
    assert len(row["reason"]) < 6_000


def test_an_attribute_that_a_data_set_lacks_is_named(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ultrasound(tmp_path / "in" / "x.dcm")
    monkeypatch.setattr(bright, "predict", lambda pixels: Dataset().Laterality)
    segment_inputs([path], tmp_path / "out", bright, SegmentSettings(PNG))
    reason = table(tmp_path / "out")[0]["reason"]
    check_sentence(reason, "Laterality", path=path)
    assert "AttributeError" not in reason


def test_results_of_the_node_are_their_owners_alone(bright: Any, tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    from bus_monai.pacs.serve import SpoolSegmenter
    from bus_monai.pacs.spool import Spool
    from tests.pacs.serving import images

    with closing(Spool(tmp_path / "spool", 10**9)) as spool:
        name = spool.receive(images(tmp_path / "in", 2)[1].read_bytes())
        assert SpoolSegmenter(spool, bright, SegmentSettings(("seg", "sr")), Readers())(name).state == "done"
        files = [path for path in spool.path.rglob("*") if path.is_file() and path.name != "lock"]
        assert len(files) == 3
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
