"""What becomes of a received instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import OutputError
from bus_monai.pacs import serve as serve_run
from bus_monai.pacs.journal import Journal, compare_models
from bus_monai.pacs.serve import BEGUN_FILE, SpoolSegmenter, waiting
from bus_monai.pacs.spool import IMAGE_FILE, PARTIAL, REASON_FILE, Spool
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


class Darker(BrightPredictor):
    """Another model: it takes half of what is bright."""

    name, weights_hash = "darker", "1" * 64

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().predict(pixels)
        found[:10] = 0
        return found


class Failing(BrightPredictor):
    name = "failing"

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise MemoryError


@pytest.mark.parametrize("shadow", [Darker, Failing])
def test_a_shadow_is_compared_and_changes_nothing(
    shadow: type[BrightPredictor], spool: Spool, bright: Any, readers: Readers, tmp_path: Path
) -> None:
    journal, other = Journal(tmp_path / "journal"), shadow(tmp_path / "other")
    sources = images(tmp_path / "in", 2)
    plain, shadowed = [], []
    for made, second in ((plain, None), (shadowed, other)):
        for source in sources:
            name = spool.receive(source.read_bytes())
            os.utime(spool.folder("received", name) / IMAGE_FILE, (1_700_000_000, 1_700_000_000))
            segment = SpoolSegmenter(spool, bright, SETTINGS, readers, (), journal, second)  # type: ignore[arg-type]
            assert segment(name).state == "done"
            made += [path.read_bytes() for path in sorted(spool.folder("done", name).iterdir())]
            spool.forget("done", name)
    assert plain == shadowed
    assert not list((spool.path / PARTIAL).iterdir())
    (pair,) = compare_models(tmp_path / "journal")
    assert (pair["sends"].split()[0], pair["shadow"].split()[0]) == ("bright", other.name)
    counts = [pair[key] for key in ("instances", "both", "neither", "sends_alone", "shadow_alone", "failed")]
    if shadow is Failing:
        assert counts == [2, 0, 0, 0, 0, 2]
        assert pair["median_dice"] is None
    else:  # of 12 bright rows from the fourth on it leaves six out
        assert counts == [2, 1, 1, 0, 0, 0]
        assert pair["median_dice"] == pytest.approx(2 / 3, abs=1e-4)
