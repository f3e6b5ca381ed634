"""Pipes, devices, sockets, endless cines, files that go: each is a row or a sentence, and the rest is done."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from bus_monai.data.readers.folder import raster_files
from bus_monai.data.readers.own_images import read_plain_folder
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.segment_frames import FindInFrame, segment_frames
from bus_monai.inference.write_outputs import DATE_VARIABLE
from bus_monai.io.masks import PackedLabels
from bus_monai.io.opened import SpecialFileError, open_source, source_kind, special_kind
from bus_monai.sources.listing import find_sources, list_sources
from bus_monai.sources.readers import Readers
from tests.inference.bright_predictor import BrightPredictor
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound
from tests.user_errors import check_sentence, raises_user_error
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="special files are those of POSIX")
SETTINGS = SegmentSettings(PNG)


@pytest.fixture
def bright(tmp_path: Path) -> Any:
    return BrightPredictor(tmp_path / "weights")


@pytest.fixture(autouse=True)
def _hang_ends() -> Iterator[None]:
    """A read that waits for ever ends the test, and not the run."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def special_files(folder: Path) -> dict[str, str]:
    """Make one of each kind, with a name that promises an image and with one that promises nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {}
    for name in ("pipe.png", "pipe"):
        os.mkfifo(folder / name)
        kinds[name] = "a named pipe"
    for name, device in (("zero.dcm", "/dev/zero"), ("full", "/dev/full")):
        (folder / name).symlink_to(device)
        kinds[name] = "a device"
    before = Path.cwd()
    os.chdir(folder)  # the path of a socket has at most about a hundred letters
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind("socket.png")
    os.chdir(before)
    return {**kinds, "socket.png": "a socket"}


def test_special_files_are_skipped_with_a_reason_and_never_opened(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    kinds = special_files(source)
    draw(source / "good.png", (2, 2, 8, 8))
    assert {path.name: special_kind(path) for path in find_sources(source)} == {**kinds, "good.png": ""}
    totals = segment_inputs([source], out, bright, SETTINGS)
    assert (totals["done"], totals["skipped"], totals["failed"]) == (1, len(kinds), 0)
    rows = {Path(row["file"]).name: row for row in table(out) if row["state"] == "skipped"}
    assert rows.keys() == kinds.keys()
    for name, kind in kinds.items():
        check_sentence(rows[name]["reason"], kind, path=source / name)
    again = segment_inputs([source], out, bright, SETTINGS)
    assert (again["done"], again["skipped"]) == (1, len(kinds))


def test_what_reads_one_file_refuses_special_ones(tmp_path: Path) -> None:
    for name, kind in special_files(tmp_path).items():
        path = tmp_path / name
        with raises_user_error(kind, path=path), open_source(path):
            pass
        with pytest.raises(SpecialFileError), open_source(path):
            pass
        assert source_kind(path) is None
    assert list_sources(tmp_path) == []


def test_readers_of_data_sets_leave_special_files_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    special_files(tmp_path)
    draw(tmp_path / "a.png")
    draw(tmp_path / "a_mask.png")
    with caplog.at_level(logging.WARNING, "bus_monai"):
        assert raster_files(tmp_path) == [tmp_path / "a.png", tmp_path / "a_mask.png"]
        assert [case.id for case in read_plain_folder(tmp_path)] == ["a"]
    check_sentence(caplog.text, "a named pipe", path=tmp_path / "pipe.png")


def test_a_spooled_pipe_holds_up_nothing(bright: Any, tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    from bus_monai.pacs.serve import SpoolSegmenter
    from bus_monai.pacs.spool import IMAGE_FILE, Spool

    with closing(Spool(tmp_path / "spool", 10**9)) as spool:
        (spool.folder("received", "x")).mkdir()
        os.mkfifo(spool.folder("received", "x") / IMAGE_FILE)
        outcome = SpoolSegmenter(spool, bright, SegmentSettings(("seg",)), Readers())("x")
        assert outcome.state == "skipped"
        check_sentence(outcome.reason, "a named pipe")
        assert spool.names("received") == []


@pytest.mark.parametrize("epoch", ["abc", "1e9", "9" * 30, "-" + "9" * 18])
def test_an_epoch_that_is_none_is_a_sentence(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    draw(tmp_path / "in" / "a.png")
    monkeypatch.setenv(DATE_VARIABLE, epoch)
    with raises_user_error(repr(epoch), key=DATE_VARIABLE):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS)


def test_a_folder_of_results_that_is_removed_midway_is_a_sentence(
    bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(8):
        draw(source / f"{number}.png", (2, 2, 6, 6))
    segment_inputs([source], tmp_path / "undisturbed", bright, SETTINGS)
    predict, left = bright.predict, [4]

    def remove(pixels: np.ndarray) -> np.ndarray:
        left[0] -= 1
        if left[0] == 0:
            shutil.rmtree(out, ignore_errors=True)
        return np.asarray(predict(pixels))

    with monkeypatch.context() as patch:
        patch.setattr(bright, "predict", remove)
        with raises_user_error(path=None):
            segment_inputs([source], out, bright, SETTINGS)
    assert not (out / "results.csv").exists()
    # a mask that was written at that moment may be left, without the record that it is ours
    shutil.rmtree(out, ignore_errors=True)
    segment_inputs([source], out, bright, SETTINGS)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_file_that_was_removed_between_two_runs_says_so_in_its_row(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "a.png", (2, 2, 8, 8))
    draw(source / "b.png", (2, 2, 8, 8))
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    segment_inputs([source], out, bright, SETTINGS)
    (source / "a.png").unlink()
    (source / "broken.png").unlink()
    totals = segment_inputs([source], out, bright, SETTINGS)
    assert (totals["done"], totals["failed"]) == (2, 1)
    rows = {Path(row["file"]).name: row for row in table(out)}
    assert rows["a.png"]["reason"] == "The file is no longer there."
    assert rows["a.png"]["lesions"] == rows["b.png"]["lesions"] == "1"
    assert rows["b.png"]["reason"] == ""
    assert rows["broken.png"]["reason"].endswith("The file is no longer there.")


def test_a_file_that_was_removed_before_its_turn_is_a_row(bright: Any, tmp_path: Path) -> None:
    from bus_monai.inference.manifest import Manifest

    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "a.png", (2, 2, 8, 8))
    segment_inputs([source], out, bright, SETTINGS)
    with closing(Manifest(out)) as manifest:  # as after a kill between entering and finishing
        manifest.enter(str(source / "gone.png"), ["gone"])
    totals = segment_inputs([source], out, bright, SETTINGS)
    assert (totals["done"], totals["failed"], totals["new"]) == (1, 1, 0)
    (row,) = [row for row in table(out) if row["state"] == "failed"]
    check_sentence(row["reason"], path=source / "gone.png")


def cine(path: Path, frames: int, *, declared: int | None = None, size: int = 2) -> Path:
    """Write a gray uncompressed cine of tiny frames, bright in their first column."""
    pixels = np.full((frames, size, size), 40, np.uint8)
    pixels[:, :, 0] = 200
    data = pydicom.dcmread(ultrasound(path))
    for keyword in ("PlanarConfiguration", "SequenceOfUltrasoundRegions"):
        data.pop(keyword, None)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows = data.Columns = size
    data.NumberOfFrames = frames if declared is None else declared
    data.PixelData = pixels.tobytes()
    data.save_as(path)
    return path


def shared_offset(path: Path, frames: int) -> Path:
    """Write a cine of JPEG 2000 whose frames all are the same few bytes."""
    data = pydicom.dcmread(cine(path, 1, size=64))
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    (encoded,) = pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1)
    data.NumberOfFrames = frames
    table = bytes(4 * frames)
    item = b"\xfe\xff\x00\xe0"
    data.PixelData = item + len(table).to_bytes(4, "little") + table + encapsulate([encoded], has_bot=False)[8:]
    data["PixelData"].VR = "OB"
    data.save_as(path)
    return path


def test_endless_cines_end_in_a_row(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "good.png", (2, 2, 8, 8))
    cine(source / "many.dcm", 100_000)
    cine(source / "negative.dcm", 1, declared=-5)
    shared_offset(source / "shared.dcm", 20_000)
    shared_offset(source / "shared_few.dcm", 300)
    calls = []
    predict = bright.predict

    def count(pixels: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.asarray(predict(pixels))

    bright.predict = count
    totals = segment_inputs([source], out, bright, SETTINGS)
    assert (totals["done"], totals["failed"]) == (1, 4)
    assert len(calls) <= 2  # of the good one, and of a first frame
    reasons = {Path(row["file"]).name: row["reason"] for row in table(out) if row["state"] == "failed"}
    check_sentence(reasons["many.dcm"], "100,000", "5,000", key="BUS_MONAI_MAX_FRAMES")
    check_sentence(reasons["shared.dcm"], "20,000", "5,000", key="BUS_MONAI_MAX_FRAMES")
    check_sentence(reasons["negative.dcm"], "-5", path=source / "negative.dcm")
    check_sentence(reasons["shared_few.dcm"], path=source / "shared_few.dcm")


def test_a_long_cine_is_segmented_in_even_memory(bright: Any, tmp_path: Path) -> None:
    path = cine(tmp_path / "cine.dcm", 500, size=16)
    with open_source(path) as source:
        found = segment_frames(FindInFrame(bright, 0.5, 1), source)
    assert isinstance(found.labels, PackedLabels)
    assert len(found.labels) == 500
    assert sum(length for *_, length in found.labels._places) < 500 * 16 * 16 * 2 / 10
    (row,) = found.rows()
    assert (row["first_frame"], row["last_frame"], row["lesions"]) == (0, 499, 1)
    assert found.labels[-1][:, 0].tolist() == [1] * 16


def test_the_budget_can_be_set(bright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "in" / "a.png", (2, 2, 8, 8))
    monkeypatch.setenv("BUS_MONAI_MAX_PIXELS", "700")
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS)
    (row,) = table(tmp_path / "out")
    check_sentence(row["reason"], "24 x 32", "700", key="BUS_MONAI_MAX_PIXELS")
    monkeypatch.setenv("BUS_MONAI_MAX_PIXELS", "many")
    with raises_user_error("'many'", key="BUS_MONAI_MAX_PIXELS"):
        segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SETTINGS)
