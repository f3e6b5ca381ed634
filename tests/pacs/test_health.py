"""What a node tells of itself by HTTP, and its log as JSON."""

from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
import requests

from bus_monai.pacs.health import HealthServer, JsonLines
from bus_monai.pacs.spool import Spool
from tests.free_port import free_port
from tests.pacs.orthanc_server import OrthancServer
from tests.pacs.serving import Serving, images, store
from tests.user_errors import raises_user_error
from tests.waiting import PATIENCE_S


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path / "spool", 10_000)) as spool:
        yield spool


def values(port: int) -> dict[str, float]:
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).text
    return {name: float(number) for name, number in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_alive_and_ready_are_two_things(spool: Spool) -> None:
    said = {"dead": "", "unready": ""}
    port = free_port()
    with closing(HealthServer("127.0.0.1", port, spool, lambda: said["dead"], lambda: said["unready"])):

        def get(path: str) -> tuple[int, str]:
            answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S)
            return answer.status_code, answer.text

        assert (get("/healthz"), get("/readyz")) == ((200, "ok\n"), (200, "ok\n"))
        said["unready"] = "full"
        assert (get("/healthz"), get("/readyz")) == ((200, "ok\n"), (503, "full\n"))
        said["dead"] = "ended"
        assert (get("/healthz"), get("/readyz")) == ((503, "ended\n"), (503, "ended\n"))
        assert get("/etc/passwd")[0] == 404
        with raises_user_error(key="--health-port"):
            HealthServer("127.0.0.1", port, spool, str, str)
    with pytest.raises(requests.ConnectionError):
        get("/healthz")


def test_queues_are_counted_when_asked(spool: Spool) -> None:
    port = free_port()
    with closing(HealthServer("127.0.0.1", port, spool, str, str)):
        assert values(port)['busmonai_queue{state="received"}'] == 0
        name = spool.receive(b"a" * 600)
        spool.receive(b"b" * 300)
        spool.move(name, "failed")
        found = values(port)
    assert found['busmonai_queue{state="received"}'] == found['busmonai_queue{state="failed"}'] == 1
    assert found['busmonai_queue{state="done"}'] == found['busmonai_oldest_seconds{state="done"}'] == 0
    assert 0 <= found['busmonai_oldest_seconds{state="received"}'] < 60
    assert (found["busmonai_spool_bytes"], found["busmonai_spool_limit_bytes"]) == (900, 10_000)


def test_a_node_counts_what_it_does(orthanc: OrthancServer, tmp_path: Path) -> None:
    sources = images(tmp_path / "in", 3)
    words = ("--log-json", "--log-file", str(tmp_path / "node.log"), "--max-spool-gb", "1e-4")
    serving = Serving(tmp_path, orthanc.send_to, 0, *words)
    with serving:
        assert requests.get(f"http://127.0.0.1:{serving.health_port}/readyz", timeout=PATIENCE_S).status_code == 200
        assert store(serving.port, sources) == [0, 0, 0]
        serving.wait(lambda: values(serving.health_port)["busmonai_sent_total"] == 3)
        big = tmp_path / "big.dcm"
        data = pydicom.dcmread(sources[0])
        data.EncapsulatedDocument = bytes(200_000)
        data.save_as(big)
        assert store(serving.port, [big]) == [0xA700]
        found = values(serving.health_port)
        assert found["busmonai_received_total"] == found['busmonai_segmented_total{state="done"}'] == 3
        assert found['busmonai_refused_total{status="0xA700"}'] == 1
        assert found['busmonai_segmented_total{state="failed"}'] == 0
        for stage in ("waited", "segmented", "sent"):
            assert found[f'busmonai_stage_seconds_count{{stage="{stage}"}}'] == 3
            assert 0 <= found[f'busmonai_stage_seconds_sum{{stage="{stage}"}}'] < 240
        assert serving.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in (tmp_path / "node.log").read_text().splitlines()]
    assert {"time", "level", "message"} == {key for line in lines for key in line}
    assert [line["message"].split()[0] for line in lines[:1] + lines[-1:]] == ["Listening", "Stopped;"]


def test_a_record_is_one_line_of_json() -> None:
    record = logging.LogRecord("bus_monai", logging.WARNING, "x.py", 1, "a\n%s", ("ü",), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["message"]) == ("WARNING", "a\nü")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
