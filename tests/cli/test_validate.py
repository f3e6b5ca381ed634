"""``bus-monai validate``: audit, every operating point, and a page to sign, of all images of a site."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from bus_monai.cli import main as cli
from bus_monai.cli.validate import outlined_sections
from bus_monai.data.datalist import Case, Datalist
from bus_monai.data.phantoms.ultrasound import write_phantoms
from bus_monai.data.protocols import all_train
from bus_monai.metrics.case_table import read_case_table
from tests.user_errors import check_said


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "validate", *words])
    with pytest.raises(SystemExit, match="0"):
        cli.main()


@pytest.mark.slow
def test_all_images_at_every_operating_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datalist = write_phantoms(tmp_path / "site", count=6, seed=0) / "datalist.json"
    content = json.loads(datalist.read_text())
    content["test"] += content.pop("training") + content.pop("validation")
    datalist.write_text(json.dumps(content | {"training": [], "validation": []}))
    run(monkeypatch, str(tmp_path / "site"), "--out", str(tmp_path / "out"))
    out = tmp_path / "out"
    page = (out / "report.html").read_text()
    tables = {}
    for point in ("high", "balanced", "specific"):
        tables[point] = [row for part in sorted((out / point).iterdir()) for row in read_case_table(part / "cases.csv")]
        assert len({row.id for row in tables[point]}) == 6
    for point, rows in tables.items():
        ill = [row for row in rows if row.has_lesion]
        found = sum(row.lesions_found for row in ill)
        (told,) = re.findall(rf"<tr><td>{point}</td><td>(\d+) of (\d+), ", page)
        assert (int(told[0]), int(told[1])) == (found, sum(row.lesions for row in ill))
    assert "RESEARCH, not for clinical use" in page
    assert "Date, signature" in page
    assert "Too few images with a lesion" in page
    assert (out / "audit" / "audit.html").is_file()
    assert re.search("[0-9a-f]{64}", page)


def test_each_image_counts_once() -> None:
    cases = [Case(f"c{n}", Path(f"{n}.png"), (Path(f"m{n}.png"),), f"g{n}", "benign") for n in range(20)]
    assert outlined_sections(all_train(cases, seed=0)) == ["training"]
    apart = Datalist(training=cases[:8], validation=cases[8:10], test=cases[10:18], unlabeled=cases[18:])
    assert outlined_sections(apart) == ["training", "validation", "test"]


def test_what_is_no_data_set_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "validate", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    check_said(capsys.readouterr().err, str(tmp_path / "none"))


def test_nothing_of_others_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantoms(tmp_path / "site", count=3, seed=0)
    (tmp_path / "report.html").write_text("another page")
    monkeypatch.setattr(sys, "argv", ["bus-monai", "validate", str(tmp_path / "site"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    check_said(capsys.readouterr().err, str(tmp_path / "report.html"), key="--out")
    assert (tmp_path / "report.html").read_text() == "another page"
