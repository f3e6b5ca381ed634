"""Processes that read files: what ends one, holds it up or takes its memory costs one file, and nothing else."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from bus_monai.errors import UserError
from bus_monai.io.gray import GRAYS
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import open_source
from bus_monai.sources import readers as readers_module
from bus_monai.sources.read import read_images
from bus_monai.sources.readers import MAX_PROCESSES, NoReaderError, Readers, UnreadableError
from tests.inference.segment_files import draw, ultrasound
from tests.user_errors import check_sentence, raises_user_error
from tests.waiting import PATIENCE_S, is_running, wait_until

ROOT = Path(__file__).parents[2]
HOSTILE = """
import os, signal, sys
from bus_monai.sources import reading_process

read = reading_process.read_images

def read_images(source):
    for image in read(source):
        if image.frame == 2 and "fault" in source.path.name:
            with open(source.path.with_suffix(".tries"), "a") as tries:
                tries.write("x")
            if "once" not in source.path.name or os.path.getsize(source.path.with_suffix(".tries")) == 1:
                os.abort()
        if "slow" in source.path.name:
            signal.pause()
        if "large" in source.path.name:
            bytes(2_000_000_000)
        if "cine" in source.path.name and sys.modules.get("requests"):
            raise ValueError("what downloads is loaded")
        print("what a library prints is no answer")
        yield image

reading_process.read_images = read_images
reading_process.serve()
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("a.png", "slow.png", "large.png"):
        draw(folder / name, (2, 2, 8, 8))
    values = np.arange(600, dtype=np.int16).reshape(30, 20)
    nibabel.Nifti1Image(values, np.diag([0.3, 0.2, 1, 1])).to_filename(folder / "b.nii.gz")
    ultrasound(folder / "c.dcm")
    for name in ("cine", "fault", "fault_once"):
        (folder / f"{name}.dcm").write_bytes(
            Path(str(get_testdata_file("emri_small.dcm", download=False))).read_bytes()
        )
    return folder


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    """Give a pool whose processes are ended, held up or filled by files with such names."""
    monkeypatch.setattr(readers_module, "_BOOT", readers_module._BOOT.partition("from")[0] + HOSTILE)
    with Readers() as readers:
        yield readers


def read(readers: Readers, path: Path) -> list[SourceImage]:
    with open_source(path) as source, readers.open(source) as reading:
        return list(reading.images())


def read_here(path: Path) -> list[SourceImage]:
    with open_source(path) as source:
        return list(read_images(source))


def same(found: list[SourceImage], expected: list[SourceImage]) -> bool:
    return all(
        (one.frame, one.frames, one.spacing_mm) == (other.frame, other.frames, other.spacing_mm)
        and np.array_equal(one.pixels, other.pixels)
        for one, other in zip(found, expected, strict=True)
    )


def test_images_are_those_that_are_read_here(files: Path) -> None:
    with Readers() as readers:
        for name, modality in {"a.png": "", "b.nii.gz": "", "c.dcm": "US", "cine.dcm": "MR"}.items():
            expected = read_here(files / name)
            with open_source(files / name) as source, readers.open(source) as reading:
                assert (reading.modality, reading.pixels) == (modality, expected[0].pixels.size)
                for _ in range(2):
                    assert same(list(reading.images()), expected)
        assert len(readers._all) == 1
    assert not readers._all


def test_a_picture_keeps_its_eight_bits(files: Path) -> None:
    with Readers() as readers:
        (image,), (wide,) = (read(readers, files / name) for name in ("a.png", "b.nii.gz"))
    assert image.levels is not None
    assert image.levels.max() == 200
    np.testing.assert_array_equal(GRAYS[image.levels], image.pixels)
    assert wide.levels is None


def test_nothing_that_downloads_is_loaded(hostile: Readers, files: Path) -> None:
    assert same(read(hostile, files / "cine.dcm"), read_here(files / "cine.dcm"))


def test_what_cannot_be_read_is_said_as_it_is_said_here(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(draw(tmp_path / "a.png").read_bytes()[:45])
    hostile = ultrasound(tmp_path / "named.dcm", PatientName="PLANTED^NAME", NumberOfFrames="-3", PixelData=b"12")
    with Readers() as readers:
        for path in (broken, hostile):
            with pytest.raises(UserError) as here:
                read_here(path)
            with pytest.raises(UnreadableError) as there:
                read(readers, path)
            check_sentence(str(there.value), path=path)
            assert str(there.value) == str(here.value)
        assert len(read(readers, tmp_path / "a.png")) == 1
        assert len(readers._all) == 1


def test_a_process_that_dies_is_replaced_and_goes_on_where_it_was(hostile: Readers, files: Path) -> None:
    assert same(read(hostile, files / "fault_once.dcm"), read_here(files / "cine.dcm"))
    assert (files / "fault_once.tries").read_text() == "xx"


def test_a_file_that_ends_three_processes_cannot_be_read_and_others_can(hostile: Readers, files: Path) -> None:
    path = files / "fault.dcm"
    with open_source(path) as source, hostile.open(source) as reading:
        images = reading.images()
        assert same([next(images), next(images)], read_here(files / "cine.dcm")[:2])
        with raises_user_error("ended the process that read it (3 times)", path=path):
            next(images)
    assert (files / "fault.tries").read_text() == "xxx"
    assert same(read(hostile, files / "a.png"), read_here(files / "a.png"))


def test_a_process_that_was_killed_while_it_waited_costs_nothing(files: Path) -> None:
    with Readers() as readers:
        for _ in range(4):
            read(readers, files / "a.png")
            (process,) = readers._all
            process.kill()
            assert same(read(readers, files / "a.png"), read_here(files / "a.png"))


def test_the_time_of_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch, hostile: Readers, files: Path) -> None:
    default = hostile.budget
    monkeypatch.setattr(hostile, "budget", replace(default, file_seconds=1))
    began = time.monotonic()
    with raises_user_error("1 s", path=files / "slow.png", key="BUS_MONAI_MAX_FILE_SECONDS"):
        read(hostile, files / "slow.png")
    # not the 900 of the default
    assert 1 <= time.monotonic() - began < PATIENCE_S
    monkeypatch.setattr(hostile, "budget", default)
    assert same(read(hostile, files / "a.png"), read_here(files / "a.png"))
    read(hostile, files / "cine.dcm")
    with open_source(files / "cine.dcm") as source, hostile.open(source) as reading:
        monkeypatch.setattr(hostile, "budget", replace(default, file_seconds=3))
        with raises_user_error("3 s", path=files / "cine.dcm", key="BUS_MONAI_MAX_FILE_SECONDS"):
            for _ in reading.images():
                # ended in time, since what others take with a frame counts too
                reading._process._popen.wait(PATIENCE_S)


def test_the_memory_of_a_file_is_bounded(hostile: Readers, files: Path) -> None:
    pytest.importorskip("resource")
    with raises_user_error("1,000,000,000", path=files / "large.png", key="BUS_MONAI_MAX_MEMORY_BYTES"):
        read(hostile, files / "large.png")
    assert same(read(hostile, files / "a.png"), read_here(files / "a.png"))


def test_a_file_that_another_took_the_place_of_is_not_read(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png", (2, 2, 8, 8))
    with Readers() as readers, open_source(path) as source:
        draw(tmp_path / "b.png").replace(path)
        with raises_user_error("changed", path=path), readers.open(source):
            pass


def test_files_are_read_at_once_by_few_processes(files: Path) -> None:
    expected = read_here(files / "cine.dcm")
    with Readers() as readers, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read(readers, files / "cine.dcm"), range(40)))
        assert 1 <= len(readers._all) <= MAX_PROCESSES
    assert all(same(images, expected) for images in found)


def test_a_process_that_cannot_be_started_is_no_fault_of_a_file(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "_BOOT", "import sys; sys.exit(7)")
    with Readers() as readers, pytest.raises(NoReaderError, match="ended with 7"):
        read(readers, files / "a.png")


ORPHAN = """
import sys
from pathlib import Path
from bus_monai.io.opened import open_source
from bus_monai.sources.readers import Readers

readers = Readers()
with open_source(Path(sys.argv[1])) as source, readers.open(source) as reading:
    print(reading._process._popen.pid, flush=True)
    sys.stdin.read()
"""


def test_it_ends_with_the_process_that_asks(files: Path) -> None:
    words = [sys.executable, "-c", ORPHAN, str(files / "a.png")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as asking:
        assert asking.stdout is not None
        reading = int(asking.stdout.readline())
        asking.kill()
    wait_until(lambda: not is_running(reading))


def test_pickled_it_is_a_new_pool(files: Path) -> None:
    with Readers() as readers:
        made = pickle.loads(pickle.dumps(readers))
        assert not made._all
        assert same(read(made, files / "a.png"), read_here(files / "a.png"))
