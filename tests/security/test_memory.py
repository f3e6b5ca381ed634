"""A small file takes little memory, whatever it or its codestream declares, and stops neither a batch nor a node."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bus_monai.pacs.spool import REASON_FILE, Spool
from tests.inference.segment_files import draw, table
from tests.security.bombs import BOMBS
from tests.security.memory_of import PeakMemory
from tests.user_errors import check_sentence
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="memory is told as Linux tells it")
ROOT = Path(__file__).parents[2]
MAX_GIGABYTES = 1.0
"""Gigabytes, of the command and all processes that it starts."""
BATCH = """
import sys
from pathlib import Path
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from tests.inference.bright_predictor import BrightPredictor

source, out = map(Path, sys.argv[1:])
kinds = ("seg", "sr", "overlay", "png")
segment_inputs([source], out, BrightPredictor(source.parent / "weights"), SegmentSettings(kinds))
"""


def file_name(name: str) -> str:
    return re.sub(r"\W+", "_", name)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("resource")
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("bombs") / "in"
    folder.mkdir()
    for name, (make, suffix, _) in BOMBS.items():
        make(folder / (file_name(name) + suffix))
    draw(folder / "whole.png", (2, 2, 8, 8))
    return folder


@pytest.fixture(scope="module")
def rows(bombs: Path) -> dict[str, dict[str, str]]:
    out = bombs.parent / "out"
    words = [sys.executable, "-c", BATCH, str(bombs), str(out)]
    with subprocess.Popen(words, cwd=ROOT) as batch, PeakMemory(batch.pid) as peak:
        assert batch.wait(PATIENCE_S) == 0
    assert 0.05 < peak.gigabytes < MAX_GIGABYTES
    return {Path(row["file"]).name.partition(".")[0]: row for row in table(out)}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_row(rows: dict[str, dict[str, str]], name: str) -> None:
    row = rows[file_name(name)]
    assert row["state"] in ("failed", "not assessed"), row
    check_sentence(row["reason"], *BOMBS[name][2])


def test_a_whole_file_among_them_is_segmented(rows: dict[str, dict[str, str]]) -> None:
    assert rows["whole"]["state"] == "done"


@pytest.mark.slow
def test_bombs_stop_no_node(bombs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    from tests.pacs.serving import Serving, images, store

    sent = {}
    with closing(Spool(tmp_path / "spool", 10**9)) as spool:
        for name in BOMBS:
            if name.startswith("DICOM"):
                sent[name] = spool.receive((bombs / f"{file_name(name)}.dcm").read_bytes())
    with Serving(tmp_path, "PACS@127.0.0.1:9") as serving:
        assert serving.process is not None
        with PeakMemory(serving.process.pid) as peak:
            assert store(serving.port, images(tmp_path / "in", 2)) == [0, 0]
            serving.wait(lambda: serving.count("received") == 0)
        assert (serving.count("done"), serving.count("failed")) == (2, len(sent))
        assert serving.end(signal.SIGTERM) == 0
    assert 0.05 < peak.gigabytes < MAX_GIGABYTES
    for name, spooled in sent.items():
        check_sentence((tmp_path / "spool" / "failed" / spooled / REASON_FILE).read_text(), *BOMBS[name][2])
