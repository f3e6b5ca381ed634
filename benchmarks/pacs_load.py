"""A node under load: associations at once, thousands of instances, a PACS that is slow or refuses, with TLS or without.

It starts ``bus-monai serve``, sends generated breast ultrasound from several associations, takes the results as a PACS
that behaves as told, and prints throughput, memory and what was lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt

from bus_monai.data.demo_files import write_demo_files
from bus_monai.pacs.address import TlsFiles

OUT_OF_RESOURCES = 0xA700
MEMORY_EVERY_S = 5


def write_instances(folder: Path, number: int, every: int = 1) -> list[Path]:
    """Write instances of a generated screen with a lesion, each with UIDs of its own.

    Of its rows and columns every so many are kept.
    """
    folder.mkdir()
    (source,) = (path for path in write_demo_files(folder / "demo") if path.stem == "breast_benign")
    data, paths = pydicom.dcmread(source), []
    if data.file_meta.TransferSyntaxUID.is_compressed:
        data.decompress()
    pixels = data.pixel_array[::every, ::every]
    (data.Rows, data.Columns), data.PixelData = pixels.shape, pixels.tobytes()
    for region in data.SequenceOfUltrasoundRegions:
        for side in ("MinX0", "MinY0", "MaxX1", "MaxY1"):
            setattr(region, f"RegionLocation{side}", region[f"RegionLocation{side}"].value // every)
        region.PhysicalDeltaX, region.PhysicalDeltaY = every * region.PhysicalDeltaX, every * region.PhysicalDeltaY
    for index in range(number):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        paths.append(folder / f"{index:05d}.dcm")
        data.save_as(paths[-1])
    return paths


def send(paths: list[Path], port: int, tls: TlsFiles | None) -> None:
    """Send over one association after the other until each instance is acknowledged."""
    waiting = list(paths)
    while waiting:
        entity = AE("SCANNER")
        meta = pydicom.filereader.read_file_meta_info(waiting[0])
        entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
        wrapped = (tls.client_context(), "localhost") if tls else None
        association = entity.associate("localhost", port, ae_title="BUSMONAI", tls_args=wrapped)
        left = []
        for path in waiting:
            status = association.send_c_store(path) if association.is_established else Dataset()
            if status.get("Status") != 0:
                left.append(path)
        if association.is_established:
            association.release()
        waiting = left
        time.sleep(1 if left else 0)


class Pacs:
    """A destination that takes ``delay`` seconds an object and refuses every ``refuse``-th try.

    Args:
        delay: seconds.
        refuse: 0 for none.
        tls: of its side, or ``None``.
    """

    def __init__(self, delay: float, refuse: int, tls: TlsFiles | None) -> None:
        self.reports: dict[str, int] = {}
        self.refused = 0
        tries = count(1)

        def store(event: evt.Event) -> int:
            time.sleep(delay)
            if refuse and next(tries) % refuse == 0:
                self.refused += 1
                return OUT_OF_RESOURCES
            made = event.dataset
            if made.Modality == "SR":
                (series,) = {
                    item.ReferencedSOPInstanceUID
                    for part in made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
                    for item in part.ReferencedSOPSequence
                    if item.ReferencedSOPClassUID.name == "Ultrasound Image Storage"
                }
                self.reports[series] = self.reports.get(series, 0) + 1
            return 0

        entity = AE("PACS")
        entity.supported_contexts = AllStoragePresentationContexts
        context = tls.server_context() if tls else None
        handlers = [(evt.EVT_C_STORE, store)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
        self.port = self.server.socket.getsockname()[1]


def memory_mb(process: psutil.Process) -> float:
    """Return the memory of a process and its children."""
    return sum(map(_bytes, (process, *process.children(recursive=True)))) / 1e6


def processor_s(process: psutil.Process) -> float:
    """Return the seconds of a core that a process and its children have used."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0


def main() -> None:
    """Run once and print one line of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--every", type=int, default=1, help="so many rows and columns one is kept: smaller images")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--pacs-delay", type=float, default=0, help="seconds an object")
    parser.add_argument("--pacs-refuses", type=int, default=0, help="every so many tries")
    parser.add_argument("--tls", type=Path, help="folder with node.pem, node.key and ca.pem for localhost")
    parser.add_argument("--write", default="seg,sr")
    parser.add_argument("--model", default="lite_unet")
    given = parser.parse_args()
    tls = TlsFiles(given.tls / "node.pem", given.tls / "node.key", given.tls / "ca.pem") if given.tls else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_instances(folder / "in", given.instances, given.every)
        pacs = Pacs(given.pacs_delay, given.pacs_refuses, tls)
        port = 20000 + pacs.port % 10000
        words = [sys.executable, "-m", "bus_monai", "serve", "--allow", "SCANNER", "--port", str(port)]
        words += ["--send-to", f"PACS@localhost:{pacs.port}", "--spool", str(folder / "spool"), "--health-port", "0"]
        words += ["--log-file", str(folder / "log"), "--write", given.write, "--model", given.model]
        if given.tls:
            words += [f"--tls-cert={tls.certificate}", f"--tls-key={tls.key}", f"--tls-ca={tls.authority}"]
        node = subprocess.Popen(words)
        while not (folder / "log").exists() or "Listening" not in (folder / "log").read_text():
            time.sleep(0.2)
        begun = time.monotonic()
        share = given.associations
        senders = [Thread(target=send, args=(paths[part::share], port, tls)) for part in range(share)]
        for sender in senders:
            sender.start()
        acknowledged, memory, watched = 0.0, [], psutil.Process(node.pid)
        while len(pacs.reports) < len(paths) and node.poll() is None:
            if not acknowledged and not any(sender.is_alive() for sender in senders):
                acknowledged = time.monotonic() - begun
            memory.append(memory_mb(watched))
            time.sleep(MEMORY_EVERY_S)
        took, worked = time.monotonic() - begun, processor_s(watched)
        node.terminate()
        node.wait(150)
        quarter = max(1, len(memory) // 4)
        print(
            f"{len(paths)} instances of {paths[0].stat().st_size / 1e6:.2f} MB, {share} associations, "
            f"TLS {'yes' if tls else 'no'}, PACS {given.pacs_delay:g} s an object, {pacs.refused} tries refused: "
            f"all acknowledged after {acknowledged:.0f} s, all stored after {took:.0f} s ({len(paths) / took:.2f}/s), "
            f"lost {len(paths) - len(pacs.reports)}, {worked / len(paths):.2f} s of a core each, "
            f"memory {np.mean(memory[quarter : 2 * quarter]):.0f} MB in the "
            f"second quarter and {np.mean(memory[-quarter:]):.0f} MB in the last, most {max(memory):.0f} MB"
        )


if __name__ == "__main__":
    main()
