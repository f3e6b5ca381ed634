"""What becomes of a received instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pydicom
import pytest

from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import OutputError
from bus_monai.pacs import serve as serve_run
from bus_monai.pacs.serve import BEGUN_FILE, SpoolSegmenter, waiting
from bus_monai.pacs.spool import IMAGE_FILE, REASON_FILE, Spool
from bus_monai.sources.readers import Readers, _Process
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import ultrasound
from tests.pacs.serving import images
from tests.user_errors import check_sentence

SETTINGS = SegmentSettings(("seg", "sr"))


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers() as readers:
        yield readers


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path / "spool", 10**9)) as spool:
        yield spool


def test_results_lie_beside_the_instance_and_are_the_same_again(
    spool: Spool, bright: Any, readers: Readers, tmp_path: Path
) -> None:
    source = images(tmp_path / "in", 2)[1]
    made = []
    for _ in range(2):
        name = spool.receive(source.read_bytes())
        image = spool.folder("received", name) / IMAGE_FILE
        (image.parent / "image_frame007_seg.dcm").write_bytes(b"of a run that was killed")
        assert SpoolSegmenter(spool, bright, SETTINGS, readers)(name).state == "done"
        folder = spool.folder("done", name)
        assert sorted(path.name for path in folder.iterdir()) == [IMAGE_FILE, "image_seg.dcm", "image_sr.dcm"]
        made.append([pydicom.dcmread(folder / f"image_{kind}.dcm") for kind in ("seg", "sr")])
        spool.forget("done", name)
    for first, second in zip(*made, strict=True):
        assert first.SOPInstanceUID == second.SOPInstanceUID
        assert first.StudyInstanceUID == pydicom.dcmread(source).StudyInstanceUID


def test_another_modality_is_left_out(spool: Spool, bright: Any, readers: Readers, tmp_path: Path) -> None:
    name = spool.receive(ultrasound(tmp_path / "mg.dcm", Modality="MG").read_bytes())
    assert SpoolSegmenter(spool, bright, SETTINGS, readers)(name).state == "skipped"
    assert spool.describe() == "0 to segment, 0 to send, 0 failed"


def test_a_broken_one_is_kept_with_its_reason(
    spool: Spool, bright: Any, readers: Readers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = images(tmp_path / "in", 1)[0]
    data = pydicom.dcmread(source)
    data.PixelData = b"12"
    data.save_as(source)
    content = source.read_bytes()
    name = spool.receive(content)
    serve_run._segment(SpoolSegmenter(spool, bright, SETTINGS, readers), name, Event())
    folder = spool.folder("failed", name)
    assert (folder / IMAGE_FILE).read_bytes() == content
    check_sentence((folder / REASON_FILE).read_text(), "DICOM")
    assert sorted(path.name for path in folder.iterdir()) == [IMAGE_FILE, REASON_FILE]
    assert f"{name}: cannot be segmented, see '{folder}'" in caplog.text
    assert "SECRET" not in caplog.text + (folder / REASON_FILE).read_text()


def test_a_full_disk_leaves_it_as_it_is(
    spool: Spool,
    bright: Any,
    readers: Readers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = spool.receive(images(tmp_path / "in", 1)[0].read_bytes())
    monkeypatch.setattr(serve_run, "DISK_PAUSE_S", 0)

    def full(*words: Any) -> None:
        raise OutputError("Cannot write.") from OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("bus_monai.inference.segment_file.FileWriter.write", full)
        for _ in range(5):
            serve_run._segment(SpoolSegmenter(spool, bright, SETTINGS, readers), name, Event())
    assert caplog.text.count(f"'{spool.path}' cannot be written (No space left on device): trying again in 0 s.") == 5
    assert [path.name for path in spool.folder("received", name).iterdir()] == [IMAGE_FILE]
    serve_run._segment(SpoolSegmenter(spool, bright, SETTINGS, readers), name, Event())
    assert spool.names("done") == [name]


def test_the_end_of_the_process_is_no_fault_of_an_instance_but_it_waits_behind_the_others(
    spool: Spool, bright: Any, readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (spool.receive(path.read_bytes()) for path in images(tmp_path / "in", 2))

    def end(*_: Any) -> None:
        raise SystemExit  # as near to a kill as a test in the process comes: what is left on the disk is put back

    for _ in range(5):
        with monkeypatch.context() as killed:
            killed.setattr(bright, "predict", end)
            with pytest.raises(SystemExit):
                SpoolSegmenter(spool, bright, SETTINGS, readers)(first)
        (spool.folder("received", first) / BEGUN_FILE).touch()
        assert waiting(spool) == [second, first]
    for name in waiting(spool):
        assert SpoolSegmenter(spool, bright, SETTINGS, readers)(name).state == "done"
    assert not list(spool.folder("done", first).glob(BEGUN_FILE))


def test_one_that_ends_the_process_that_reads_it_three_times_is_failed(
    spool: Spool, bright: Any, readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = spool.receive(images(tmp_path / "in", 1)[0].read_bytes())
    monkeypatch.setattr(_Process, "ask", lambda self, request: self.kill() or _Process._answer(self))
    assert SpoolSegmenter(spool, bright, SETTINGS, readers)(name).state == "failed"
    reason = (spool.folder("failed", name) / REASON_FILE).read_text()
    check_sentence(reason, "ended the process that read it (3 times)")


def test_where_nothing_can_be_read_now_an_instance_waits(
    spool: Spool, bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = spool.receive(images(tmp_path / "in", 1)[0].read_bytes())
    monkeypatch.setattr(serve_run, "DISK_PAUSE_S", 0)
    with monkeypatch.context() as broken:
        broken.setattr("bus_monai.sources.readers._BOOT", "import sys; sys.exit(7)")
        serve_run._segment(SpoolSegmenter(spool, bright, SETTINGS, Readers()), name, Event())
    assert "it ended with 7" in caplog.text
    assert spool.names("received") == [name]
    serve_run._segment(SpoolSegmenter(spool, bright, SETTINGS, Readers()), name, Event())
    assert spool.names("done") == [name]
