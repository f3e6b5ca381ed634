"""``bus-monai serve`` as a process, and who sends to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from tests.free_port import free_port
from tests.inference.segment_files import ultrasound
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]
COMMAND = """
import sys
from pathlib import Path
from bright_predictor import BrightPredictor
from bus_monai.cli.main import main
from bus_monai.bundle import models
from bus_monai.inference import predictor

folder, seconds, stop_at = Path(sys.argv.pop(1)), float(sys.argv.pop(1)), int(sys.argv.pop(1))
trained = BrightPredictor(folder / "weights", seconds, (stop_at, folder / "go") if stop_at else None)
models.parse_models = lambda *specs, **options: [trained.model]
predictor.Predictor = lambda *arguments, **options: trained
main()
"""
NAME = "SECRET^ANNA"


def command(folder: Path, *words: str, seconds: float = 0, stop_at: int = 0) -> list[str]:
    """A command of ``bus-monai`` with a predictor that needs no network.

    Args:
        folder: of its model.
        words: of the command.
        seconds: that an image takes.
        stop_at: number of the image, counted from each start, at which it waits until ``folder`` has a file ``go``.
    """
    return [sys.executable, "-c", COMMAND, str(folder), str(seconds), str(stop_at), *words]


def images(folder: Path, count: int) -> list[Path]:
    """Ultrasound images of one patient's one study, with a bright box each but the first."""
    study, series = generate_uid(), generate_uid()
    paths = []
    for number in range(count):
        pixels = np.full((24, 32), 40, np.uint8)
        if number:
            pixels[4:16, 4 : 10 + number % 20] = 200
        path = ultrasound(
            folder / f"{number:03d}.dcm",
            PatientName=NAME,
            PatientID="SECRET-7",
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=generate_uid(),
            InstanceNumber=str(number),
            Rows=24,
            Columns=32,
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            PixelData=pixels.tobytes(),
        )
        data = pydicom.dcmread(path)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        for keyword in ("PlanarConfiguration", "SequenceOfUltrasoundRegions"):
            if keyword in data:
                delattr(data, keyword)
        data.save_as(path)
        paths.append(path)
    return paths


def store(port: int, paths: Sequence[Path], *, called: str = "BUSMONAI", calling: str = "SCANNER") -> list[int | None]:
    """Send, and return the status of each: ``None`` where there was no answer."""
    entity = AE(ae_title=calling)
    meta = pydicom.filereader.read_file_meta_info(paths[0])
    entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    statuses: list[int | None] = []
    for path in paths:
        status = association.send_c_store(path) if association.is_established else Dataset()
        statuses.append(status.get("Status"))
    if association.is_established:
        association.release()
    return statuses


class Serving:
    """A node that can be started, ended and started again.

    Args:
        folder: of its spool, log and model.
        send_to: where its results go.
        seconds, stop_at: see ``command``.
        more: words of the command.
    """

    def __init__(self, folder: Path, send_to: str, seconds: float = 0, *more: str, stop_at: int = 0) -> None:
        self.folder, self.spool, self.port, self.health_port = folder, folder / "spool", free_port(), free_port()
        self.process: subprocess.Popen[str] | None = None
        self.log_name = "node.log" if "--log-file" in more else "log"
        words = [
            "serve", "--allow", "SCANNER", "--allow", "ORTHANC", "--send-to", send_to,
            "--spool", str(self.spool), "--port", str(self.port), "--health-port", str(self.health_port), *more,
        ]  # fmt: skip
        self.words = command(folder, *words, seconds=seconds, stop_at=stop_at)

    @property
    def log(self) -> str:
        return (self.folder / self.log_name).read_text()

    def start(self) -> None:
        path = os.pathsep.join((str(ROOT / "tests" / "inference"), str(ROOT)))
        known = self.log.count("Listening") if (self.folder / self.log_name).exists() else 0
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(self.words, stderr=log, env=os.environ | {"PYTHONPATH": path})
        named = self.folder / self.log_name
        self.wait(lambda: named.exists() and self.log.count("Listening") > known)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, which the node must live to see."""

        def holds() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            return condition()

        wait_until(holds, lambda: self.log)

    def count(self, state: str) -> int:
        return len(list((self.spool / state).iterdir()))

    def __enter__(self) -> Serving:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)
