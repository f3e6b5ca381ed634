"""Two readings of the same images, by hand and by a model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from bus_monai.data.datalist import read_fields
from bus_monai.data.readers.own_images import list_labels
from bus_monai.metrics.operating_curves import cohen_kappa
from bus_monai.report.agreement_report import (
    Agreement,
    Reading,
    compare_readings,
    field_agreement,
    long_axes,
    read_annotator,
    read_model,
    report_agreement,
    summarize_agreement,
)
from tests.data.label_folder import save_labels, write_pictures, write_scans
from tests.user_errors import raises_user_error


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """Two annotators: the second draws two pixels lower, and calls one image otherwise."""
    first, second = write_pictures(tmp_path / "ann"), write_pictures(tmp_path / "bob", shift=2)
    labels = {one.name: one.read() for one in list_labels(second)}
    labels["sub/b c"][0, 5:9, 5:9] = 1
    fields = {"a": {"birads": "4A", "diagnosis": "benign"}, "sub/b c": {"birads": "3"}, "d": {"birads": "5"}}
    save_labels(second, labels, fields)
    return first, second


def test_outlines_lesions_and_long_axes(both: tuple[Path, Path]) -> None:
    first, second = both
    found = compare_readings(list_labels(first), read_annotator(second))
    rows = {row.image: row for row in found.rows}
    # the first lesion of a: 575 of 20 x 30 pixels, moved by 2, the second cut by 2 rows of 20
    assert [(r.lesions_first, r.lesions_second, r.lesions_both) for r in map(rows.get, ("a", "sub/b c", "d")) if r] == [
        (2, 2, 2), (0, 1, 0), (1, 1, 1),
    ]  # fmt: skip
    assert rows["d"].dice == pytest.approx(2 * 28 * 30 / (30 * 30 + 28 * 30))
    assert rows["sub/b c"].dice == 0
    assert (rows["sub/b c"].assd_px, rows["d"].hd95_px, rows["d"].hd95_mm) == (None, 2, None)
    summary = summarize_agreement(found)
    assert summary["dice"]["images"] == 3
    assert summary["dice"]["mean"] == pytest.approx(np.mean([row.dice for row in found.rows]))
    assert summary["hd95_px"]["images"] == 2
    axes = long_axes(found)
    assert axes is not None
    assert axes.unit == "px"
    assert len(axes.difference) == 3
    assert axes.bias == pytest.approx(np.mean(axes.difference))
    assert found.worst[0][1].startswith("sub/b c")


def test_kappa_of_the_fields(both: tuple[Path, Path]) -> None:
    first, second = both
    found = compare_readings(list_labels(first), read_annotator(second))
    rows = {row["title"]: row for row in field_agreement(found, read_fields(first))}
    # the comment is free text, and one diagnosis of both is no two words
    assert list(rows) == ["Lesion", "BI-RADS category", "Diagnosis"]
    assert (rows["BI-RADS category"]["images"], rows["BI-RADS category"]["same"]) == (3, 2 / 3)
    kappa = rows["BI-RADS category"]["kappa"]
    assert kappa["value"] == pytest.approx(cohen_kappa_score(["4A", "5", "1"], ["4A", "5", "3"]))
    assert kappa["low"] <= kappa["value"] <= kappa["high"]
    assert rows["Diagnosis"]["kappa"] is None


def test_the_interval_of_kappa_is_over_patients() -> None:
    rng = np.random.default_rng(0)
    first = rng.choice(["a", "b"], 200)
    second = np.where(rng.random(200) < 0.8, first, rng.choice(["a", "b"], 200))
    found = cohen_kappa(first.tolist(), second.tolist(), [str(i) for i in range(200)])
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    # the large-sample standard error of kappa (Cohen 1960)
    agreed, chance = np.mean(first == second), 0.5
    error = np.sqrt(agreed * (1 - agreed) / 200) / (1 - chance)
    assert found.high is not None
    assert found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.15)
    few = cohen_kappa(first.tolist(), second.tolist(), [str(i % 5) for i in range(200)])
    assert few is not None
    assert few.value == found.value
    assert cohen_kappa(["a"], ["b"], ["one"]) is not None
    assert cohen_kappa(["a", "a"], ["a", "a"], ["1", "2"]) is None


def test_a_cine_counts_by_frame_and_in_millimeters(tmp_path: Path) -> None:
    folder = write_scans(tmp_path / "scans")
    labels = list_labels(folder)
    found = compare_readings(labels, lambda one: Reading(np.roll(one.read(), 1, axis=2)))
    cine = [row for row in found.rows if row.frame is not None]
    assert [row.frame for row in cine] == [0, 2]
    assert cine[0].hd95_mm == pytest.approx(0.5104970559477806 * (cine[0].hd95_px or 0))
    assert {row.group[:8] for row in found.rows if row.image != "n"} == {"patient_"}
    assert found.alone == 0
    axes = long_axes(found)
    assert axes is not None
    # one of the three files says no size of its pixels
    assert axes.unit == "px"
    np.testing.assert_allclose(axes.difference, 0, atol=1e-9)


def test_the_page(both: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = both
    text, page = report_agreement(first, read_annotator(second), ("ann", "bob"), tmp_path / "out")
    assert "BI-RADS" in text
    content = page.read_text()
    for fact in ("ann", "bob", "BI-RADS category", "Dice", "sub/b c", "limits of agreement"):
        assert fact in content
    with (tmp_path / "out" / "agreement.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["a", "d", "sub/b c"]
    # again over its own files, and over nobody else's
    report_agreement(first, read_annotator(second), ("ann", "bob"), tmp_path / "out")
    (tmp_path / "out" / "agreement.csv").write_text("mine\n")
    with raises_user_error(path=tmp_path / "out" / "agreement.csv"):
        report_agreement(first, read_annotator(second), ("ann", "bob"), tmp_path / "out")


def test_nothing_in_common(both: tuple[Path, Path], tmp_path: Path) -> None:
    with raises_user_error("both"):
        compare_readings(list_labels(both[0]), read_annotator(write_scans(tmp_path / "scans")))
    assert long_axes(Agreement()) is None


def test_a_model_reads_what_it_finds(both: tuple[Path, Path], small_weights: Path) -> None:
    from bus_monai.inference.predictor import Predictor
    from bus_monai.inference.segment_frames import FindInFrame, segment_frames
    from bus_monai.io.opened import open_source

    predictor: Any = Predictor.from_bundle("baseline", small_weights, "torch")
    (one, *_) = list_labels(both[0])
    reading = read_model(predictor)(one)
    assert reading is not None
    with open_source(one.image) as source:
        expected = segment_frames(FindInFrame(predictor, 0.5), source).labels[0]
    np.testing.assert_array_equal(reading.labels[0], expected)
    assert reading.fields == {}
