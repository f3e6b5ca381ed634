"""The store over a real DICOM server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO

from bus_monai.errors import UserError
from bus_monai.sources.listing import list_sources
from tests.label.conftest import MODEL, Server
from tests.pacs.orthanc_server import OrthancServer
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S

SINGLE, CINE = "US1_UNCR.dcm", "examples_ybr_color.dcm"


@pytest.fixture
def orthanc(tmp_path: Path, orthanc_files: tuple[str, Path]) -> Iterator[str]:
    """The DICOMweb address of an Orthanc that holds an ultrasound image and a cine."""
    server = OrthancServer(tmp_path / "orthanc", *orthanc_files)
    server.start()
    for name in (SINGLE, CINE):
        content = Path(str(get_testdata_file(name, download=False))).read_bytes()
        requests.post(f"{server.url}/instances", content, timeout=PATIENCE_S).raise_for_status()
    yield server.dicomweb
    server.stop()


def test_what_was_fetched_is_there_while_the_server_does_not_answer(
    label_module: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Service:
        there, asked = ["1.2.3"], 0

        def studies(self, modality: str) -> list[str]:
            self.asked += 1
            if not self.there:
                raise UserError("no connection")
            return ["1"]

        def instances(self, study: str, modality: str) -> list[tuple[str, str]]:
            return [("1.2", instance) for instance in self.there]

        def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
            shutil.copy(str(get_testdata_file(SINGLE, download=False)), path)

    module, service = label_module("dicomweb_store"), Service()
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "DicomWeb", lambda url, token: service)
    store = module.DicomWebStore("http://127.0.0.1/dicom-web")
    service.there = []
    for _ in range(2):
        store.refresh()
        assert store.list_images() == ["1.2.3"]
    assert (service.asked, caplog.text.count("no connection")) == (2, 1)
    with raises_user_error("no connection"):
        module.DicomWebStore("http://127.0.0.1/dicom-web")


def _uid(name: str) -> str:
    path = str(get_testdata_file(name, download=False))
    return str(pydicom.dcmread(path, stop_before_pixels=True, force=True).SOPInstanceUID)


def test_ultrasound_of_orthanc(
    orthanc: str,
    serve: Callable[..., Server],
    label_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the images go to a cache of this test, in which the environment is made already
    environment = label_python.parent.parent
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / environment.name).symlink_to(environment)
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path / "cache"))
    server = serve(orthanc, "--no-token")
    assert server.token == ""
    client = server.client()
    assert set(client.datastore()["objects"]) == {_uid(SINGLE), _uid(CINE)}

    cine = nib.load(client.infer(MODEL, _uid(CINE), {})[0])
    source = Path(str(get_testdata_file(CINE, download=False)))
    assert cine.shape[2] == len(list_sources(source))

    found, params = client.infer(MODEL, _uid(SINGLE), {"threshold": 0.0})
    assert params["label_names"] == {"lesion 1": 1}
    client.save_label(_uid(SINGLE), found, "final")
    assert client.info()["datastore"]["completed"] == 1

    query = f"/infer/{MODEL}?image={_uid(SINGLE)}&output=dicom_seg"
    content = server.ask("POST", query, data={"params": '{"threshold": 0}'}).content
    made = pydicom.dcmread(DicomBytesIO(content))
    assert made.Modality == "SEG"
    assert made.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == _uid(SINGLE)
    assert np.unique(made.pixel_array).tolist() == [1]

    # OHIF asks by way of the server, and for images alone
    (study,) = {str(made.StudyInstanceUID)}
    found = server.ask("GET", f"/proxy/dicom/qido/studies/{study}/series", headers={"Accept": "application/dicom+json"})
    assert [one["0020000D"]["Value"] for one in found.json()] == [[study]]
    for path in ("qido/../system", "qido/%2e%2e/system", "stow/studies", "qido/tools/find"):
        assert server.ask("GET", f"/proxy/dicom/{path}").status_code == 404, path
    assert server.ask("POST", "/proxy/dicom/qido/studies").status_code == 405
