"""Orthanc as a process, with its own storage and ports that stay the same when it is started again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import requests

from tests.free_port import free_port
from tests.waiting import PATIENCE_S, wait_until


class OrthancServer:
    def __init__(self, folder: Path, program: str, plugin: Path, **more: Any) -> None:
        self.dicom_port, http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{http_port}"
        self.dicomweb = f"{self.url}/dicom-web"
        self.program, self.config = program, folder / "orthanc.json"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        settings = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(plugin)],
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowStore": True,
            "HttpPort": http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **more,
        }
        self.config.write_text(json.dumps(settings))

    @property
    def send_to(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dicom_port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program, self.config], stdout=subprocess.DEVNULL, stderr=(self.config.parent / "log").open("ab")
        )
        wait_until(self._answers, (self.config.parent / "log").read_text)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.config.parent / "log").read_text()
        try:
            return requests.get(f"{self.url}/system", timeout=PATIENCE_S).ok
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def instances(self) -> list[dict[str, Any]]:
        """The tags of all instances."""
        url = f"{self.url}/instances"
        names = requests.get(url, timeout=PATIENCE_S).json()
        return [requests.get(f"{url}/{name}/simplified-tags", timeout=PATIENCE_S).json() for name in names]

    def counts(self) -> dict[str, int]:
        """Instances of each modality."""
        modalities = [tags["Modality"] for tags in self.instances()]
        return {modality: modalities.count(modality) for modality in sorted(set(modalities))}
