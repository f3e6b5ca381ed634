"""``bus-monai segment --dicomweb`` against a real PACS, which goes away in the middle."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.pacs.dicomweb import DicomWeb, InstanceError
from bus_monai.pacs.segment_study import STORED_FILE, segment_study
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import table
from tests.pacs.orthanc_server import OrthancServer
from tests.pacs.serving import ROOT, command, images
from tests.user_errors import check_said, raises_user_error

SETTINGS = SegmentSettings(("seg", "sr"))


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


def upload(orthanc: OrthancServer, paths: list[Path]) -> str:
    for path in paths:
        requests.post(f"{orthanc.url}/instances", path.read_bytes(), timeout=30).raise_for_status()
    return str(pydicom.dcmread(paths[0]).StudyInstanceUID)


def test_fetched_segmented_and_stored_and_the_rest_after_the_pacs_was_down(
    orthanc: OrthancServer, tmp_path: Path, bright: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, out = upload(orthanc, images(tmp_path / "in", 4)), tmp_path / "out"
    upload(orthanc, images(tmp_path / "other", 2))
    service = DicomWeb(orthanc.dicomweb)
    fetch, store = DicomWeb.fetch, DicomWeb.store
    calls: list[str] = []

    def fetch_two(self: DicomWeb, *words: Any) -> None:
        calls.append("fetch")
        if len(calls) == 3:
            orthanc.stop()
        fetch(self, *words)

    def store_three(self: DicomWeb, path: Path) -> None:
        calls.append("store")
        if calls.count("store") == 4:
            orthanc.stop()
        store(self, path)

    monkeypatch.setattr(DicomWeb, "fetch", fetch_two)
    with raises_user_error(f"'{orthanc.dicomweb}'", "run the command again"):
        segment_study(service, study, out, bright, SETTINGS)
    assert calls == ["fetch"] * 3
    orthanc.start()
    calls.clear()
    monkeypatch.setattr(DicomWeb, "fetch", lambda *words: (calls.append("fetch"), fetch(*words)))
    monkeypatch.setattr(DicomWeb, "store", store_three)
    with raises_user_error(f"'{orthanc.dicomweb}'", "run the command again"):
        segment_study(service, study, out, bright, SETTINGS)
    assert calls == ["fetch"] * 2 + ["store"] * 4
    assert len(table(out)) == 4
    orthanc.start()
    counts = orthanc.counts()
    assert (counts["SEG"] + counts["SR"], counts["US"]) == (3, 6)  # in the order of the files' UIDs
    calls.clear()
    monkeypatch.setattr(DicomWeb, "store", lambda *words: (calls.append("store"), store(*words)))
    totals = segment_study(service, study, out, bright, SETTINGS)
    assert calls == ["store"] * 4
    assert {key: totals[key] for key in ("done", "lesions", "lost", "stored", "refused")} == {
        "done": 4, "lesions": 3, "lost": 0, "stored": 7, "refused": 0,
    }  # fmt: skip
    assert orthanc.counts() == {"SEG": 3, "SR": 4, "US": 6}
    ours = [tags for tags in orthanc.instances() if tags["Modality"] != "US"]
    assert {tags["StudyInstanceUID"] for tags in ours} == {study}
    written = {str(pydicom.dcmread(path).SOPInstanceUID) for path in out.glob("*.dcm")}
    assert {tags["SOPInstanceUID"] for tags in ours} == written
    assert len((out / STORED_FILE).read_text().splitlines()) == 7


def test_one_series_and_what_there_is_not(orthanc: OrthancServer, tmp_path: Path, bright: Any) -> None:
    sources = images(tmp_path / "in", 2)
    study = upload(orthanc, sources)
    service = DicomWeb(orthanc.dicomweb)
    series = str(pydicom.dcmread(sources[0]).SeriesInstanceUID)
    assert len(service.instances(study, "US", series)) == 2
    missing = (f"'{orthanc.dicomweb}'", "US", "--study", "--series", "--modality")
    with raises_user_error(*missing):
        segment_study(service, study, tmp_path / "out", bright, SETTINGS, series="1.2.3")
    with raises_user_error(*missing):
        segment_study(service, "1.2.3", tmp_path / "out", bright, SETTINGS)
    with raises_user_error(64, key="--study"):
        segment_study(service, "../../etc", tmp_path / "out", bright, SETTINGS)
    assert not (tmp_path / "out").exists()


def test_command(orthanc: OrthancServer, tmp_path: Path) -> None:
    study = upload(orthanc, images(tmp_path / "in", 2))
    path = os.pathsep.join((str(ROOT / "tests" / "inference"), str(ROOT)))
    words = command(tmp_path, "segment", "--dicomweb", orthanc.dicomweb, "--study", study, "--out", f"{tmp_path}/out")
    run = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"1 lesions in 2 files: {tmp_path / 'out'}\n3 results are at {orthanc.dicomweb}.\n"
    assert "SECRET" not in run.stdout + run.stderr + (tmp_path / "out" / "results.csv").read_text()
    orthanc.stop()
    run = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    check_said(line, f"'{orthanc.dicomweb}'", "run the command again")


class Service:
    """A service that gives and takes all but what it is told to refuse."""

    url = "http://pacs/dicom-web"

    def __init__(self, files: list[Path]) -> None:
        self.files = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in files}
        self.withheld, self.refuses = set(self.files), True
        self.calls: list[str] = []

    def instances(self, *_: object) -> list[tuple[str, str]]:
        return [("1.2", uid) for uid in self.files]

    def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
        self.calls.append("fetch")
        if instance in self.withheld:
            raise InstanceError("it answers 404")
        path.write_bytes(self.files[instance].read_bytes())

    def store(self, path: Path) -> None:
        self.calls.append("store")
        if self.refuses and path.name.endswith("_seg.dcm"):
            raise InstanceError("it answers 409")


def test_what_is_not_given_or_not_taken_is_counted_and_costs_nothing_else(tmp_path: Path, bright: Any) -> None:
    def run(**options: Any) -> tuple[dict[str, int], int, int]:
        service.calls.clear()
        totals = segment_study(service, "1", tmp_path / "out", bright, SETTINGS, **options)  # type: ignore[arg-type]
        counts = {key: totals[key] for key in ("done", "lost", "stored", "refused")}
        return counts, service.calls.count("fetch"), service.calls.count("store")

    # the first shows no lesion, and so has a report alone
    service = Service(images(tmp_path / "in", 3))
    with raises_user_error(service.url, "3 instances"):
        run()
    service.withheld = {list(service.files)[2]}
    assert run() == ({"done": 2, "lost": 1, "stored": 2, "refused": 1}, 3, 3)
    service.withheld, service.refuses = set(), False
    assert run() == ({"done": 3, "lost": 0, "stored": 5, "refused": 0}, 1, 3)
    assert run() == ({"done": 3, "lost": 0, "stored": 5, "refused": 0}, 0, 0)
    assert run(restart=True) == ({"done": 3, "lost": 0, "stored": 5, "refused": 0}, 3, 5)
    service.files = {}
    with raises_user_error(service.url, "--study"):
        run()
