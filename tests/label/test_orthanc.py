"""Images of a real DICOM server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO

from bus_monai.dicom.read import count_frames
from tests.conftest import skip
from tests.label.conftest import MODEL, Server

PLUGINS = Path("/usr/share/orthanc/plugins")
SINGLE, CINE = "US1_UNCR.dcm", "examples_ybr_color.dcm"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Orthanc with DICOMweb that holds an ultrasound image and a cine."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if not program or not (PLUGINS / "libOrthancDicomWeb.so").exists():
        skip("no DICOM server: install orthanc and orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as http, socket.socket() as dicom:
        http.bind(("127.0.0.1", 0))
        dicom.bind(("127.0.0.1", 0))
        ports = http.getsockname()[1], dicom.getsockname()[1]
    config = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "HttpPort": ports[0],
        "DicomPort": ports[1],
        "RemoteAccessAllowed": False,
        "DicomWeb": {"Enable": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{ports[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        for name in (SINGLE, CINE):
            _store(url, Path(str(get_testdata_file(name, download=False))).read_bytes())
        yield url
    finally:
        process.terminate()
        process.wait()


def _store(url: str, content: bytes) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/instances", content, method="POST")).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.2)


def _uid(name: str) -> str:
    path = str(get_testdata_file(name, download=False))
    return str(pydicom.dcmread(path, stop_before_pixels=True, force=True).SOPInstanceUID)


def test_ultrasound_of_orthanc(
    orthanc: str,
    serve: Callable[[Path | str], Server],
    label_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the images go to a cache of this test, in which the environment is made already
    environment = label_python.parent.parent
    (tmp_path / environment.name).symlink_to(environment)
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    server = serve(f"{orthanc}/dicom-web")
    client = server.client()
    assert set(client.datastore()["objects"]) == {_uid(SINGLE), _uid(CINE)}

    cine = nib.load(client.infer(MODEL, _uid(CINE), {})[0])
    source = Path(str(get_testdata_file(CINE, download=False)))
    assert cine.shape[2] == count_frames(source)

    found, params = client.infer(MODEL, _uid(SINGLE), {"threshold": 0.0})
    assert params["label_names"] == {"lesion 1": 1}
    client.save_label(_uid(SINGLE), found, "final")
    assert client.info()["datastore"]["completed"] == 1

    query = f"{server.url}/infer/{MODEL}?image={_uid(SINGLE)}&output=dicom_seg"
    form = b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n{"threshold": 0}\r\n--x--\r\n'
    asked = urllib.request.Request(query, form, {"Content-Type": "multipart/form-data; boundary=x"})
    with urllib.request.urlopen(asked) as answer:
        content = answer.read()
    made = pydicom.dcmread(DicomBytesIO(content))
    assert made.Modality == "SEG"
    assert made.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == _uid(SINGLE)
    assert np.unique(made.pixel_array).tolist() == [1]
