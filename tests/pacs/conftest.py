"""What the tests of the network share: a real PACS on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pacs.orthanc_server import OrthancServer

sys.path.append(str(Path(__file__).parents[1] / "inference"))  # for the predictor that needs no network


@pytest.fixture
def orthanc(tmp_path: Path, orthanc_files: tuple[str, Path]) -> Iterator[OrthancServer]:
    """A running Orthanc with DICOMweb, empty."""
    server = OrthancServer(tmp_path / "orthanc", *orthanc_files)
    server.start()
    yield server
    server.stop()
