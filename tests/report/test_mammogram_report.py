"""The page about mammograms, and the tables of detections."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

from bus_monai.geometry.box import Box
from bus_monai.metrics.detection import Detection
from bus_monai.report.mammogram_report import write_detections, write_mammogram_report, write_truths


def test_tables_of_detections_leave_unknown_fields_empty(tmp_path: Path) -> None:
    def rows(name: str) -> list[list[str]]:
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    box = Box(1, 2, 30, 40)
    found = [Detection("a", box, score) for score in (0.75, 0.5, 0.25)]
    write_detections(tmp_path / "detections.csv", zip(found, (True, False, None), strict=True))
    assert rows("detections.csv") == [
        ["id", "score", "top", "left", "bottom", "right", "matched"],
        ["a", "0.75", "1", "2", "30", "40", "True"],
        ["a", "0.5", "1", "2", "30", "40", "False"],
        ["a", "0.25", "1", "2", "30", "40", ""],
    ]
    write_truths(tmp_path / "truths.csv", [("a", box, 0.0), ("b", box, None)])
    assert rows("truths.csv") == [
        ["id", "top", "left", "bottom", "right", "found", "score"],
        ["a", "1", "2", "30", "40", "True", "0.0"],
        ["b", "1", "2", "30", "40", "False", ""],
    ]


def test_the_first_twelve_images_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "masses.csv").write_text("image,mass\ni00,1\n")
    pictures = {f"i{i:02d}": tmp_path / "a.png" for i in range(15)}
    stage = {"stage": "shape", "given": "true masks", "figure": "accuracy", "value": 0.5, "low": 0.25, "high": 0.75}
    page = write_mammogram_report(tmp_path, tmp_path / "masses.csv", pictures, {"x.png": "broken"}, [stage])
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64") == 12
    assert "The first 12; 3 more" in text
    assert "16 images, 1 masses, <b>1 images could not be read</b>" in text
    table = (tmp_path / "tables" / "stages.csv").read_text().splitlines()
    assert table == ["Stage,Given,Figure,Value,95 % interval", 'shape,true masks,accuracy,0.5000,"[0.2500, 0.7500]"']
