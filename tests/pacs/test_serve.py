"""``bus-monai serve`` between a scanner and a real PACS, each of which goes away in the middle."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from pynetdicom import AE

from bus_monai.io.ours import RESEARCH
from bus_monai.pacs.spool import Spool
from tests.free_port import free_port
from tests.pacs.orthanc_server import OrthancServer
from tests.pacs.serving import NAME, ROOT, Serving, images, store
from tests.waiting import PATIENCE_S, wait_until


def test_from_scanner_to_pacs_and_none_lost_when_the_pacs_is_down(orthanc: OrthancServer, tmp_path: Path) -> None:
    sources = images(tmp_path / "in", 8)
    with Serving(tmp_path, orthanc.send_to) as serving:
        entity = AE("SCANNER")
        entity.add_requested_context("1.2.840.10008.1.1")
        echo = entity.associate("127.0.0.1", serving.port, ae_title="BUSMONAI")
        assert echo.send_c_echo().Status == 0
        echo.release()

        assert store(serving.port, sources[:3]) == [0, 0, 0]
        serving.wait(lambda: serving.count("received") + serving.count("done") == 0)
        assert orthanc.counts() == {"SEG": 2, "SR": 3}
        orthanc.stop()
        assert store(serving.port, sources[3:]) == [0] * 5
        serving.wait(lambda: serving.count("done") == 5)
        assert serving.count("received") == 0
        serving.wait(lambda: "(no connection): the results of 5 instances wait, trying again in " in serving.log)
        assert serving.end(signal.SIGTERM) == 0
        assert "Stopped; 0 to segment, 5 to send, 0 failed. The same command goes on." in serving.log
        serving.start()
        orthanc.start()
        serving.wait(lambda: serving.count("done") == 0)
        assert orthanc.counts() == {"SEG": 7, "SR": 8}
        assert serving.end(signal.SIGINT) == 0

    stored = orthanc.instances()
    study = pydicom.dcmread(sources[0]).StudyInstanceUID
    assert {(tags["StudyInstanceUID"], tags["PatientName"]) for tags in stored} == {(study, NAME)}
    segmentation = next(tags for tags in stored if tags["Modality"] == "SEG")
    assert (segmentation["Rows"], segmentation["Columns"], segmentation["SegmentationType"]) == ("24", "32", "BINARY")
    reports = [tags for tags in stored if tags["Modality"] == "SR"]
    assert {tags["ContentTemplateSequence"][0]["TemplateIdentifier"] for tags in reports} == {"1500"}
    sent = [line for line in serving.log.splitlines() if f"objects sent to {orthanc.send_to}" in line]
    assert len(sent) == 8
    assert "SECRET" not in serving.log


def test_pictures_and_presentation_states_are_stored(orthanc: OrthancServer, tmp_path: Path) -> None:
    sources = images(tmp_path / "in", 2)
    with Serving(tmp_path, orthanc.send_to, 0, "--write", "seg,sr,sc,gsps") as serving:
        assert store(serving.port, sources) == [0, 0]
        serving.wait(lambda: orthanc.counts() == {"OT": 2, "PR": 2, "SEG": 1, "SR": 2})
        assert serving.end(signal.SIGTERM) == 0
    assert {tags["SeriesDescription"].startswith(RESEARCH) for tags in orthanc.instances()} == {True}


def test_killed_in_the_middle(orthanc: OrthancServer, tmp_path: Path) -> None:
    """What was acknowledged is segmented and sent once, whatever the moment; the sender sends again what was not."""
    sources = images(tmp_path / "in", 10)
    with Serving(tmp_path, orthanc.send_to, stop_at=2) as serving:
        assert store(serving.port, sources[:5]) == [0] * 5
        serving.wait(lambda: serving.count("received") == 4)
        serving.end(signal.SIGKILL)
        assert serving.count("received") == 4
        serving.start()
        assert store(serving.port, sources[3:]) == [0] * 7  # two of them again
        serving.wait(lambda: serving.count("received") == 8)
        serving.end(signal.SIGKILL)
        (tmp_path / "go").touch()
        serving.start()
        serving.wait(lambda: serving.count("received") + serving.count("done") == 0)
        assert orthanc.counts() == {"SEG": 9, "SR": 10}
        assert serving.count("failed") == 0
        references = {
            tags["ReferencedSeriesSequence"][0]["ReferencedInstanceSequence"][0]["ReferencedSOPInstanceUID"]
            for tags in orthanc.instances()
            if tags["Modality"] == "SEG"
        }
        assert references == {str(pydicom.dcmread(path).SOPInstanceUID) for path in sources[1:]}
        assert serving.end(signal.SIGTERM) == 0


def results(spool: Path) -> dict[str, bytes]:
    """What is there to be sent, by path."""
    return {
        str(path.relative_to(spool)): path.read_bytes() for path in (spool / "done").rglob("*.dcm") if path.is_file()
    }


def killed(tmp_path: Path, instances: int, kills: int) -> None:
    """Kill the node at random moments, and compare with one that was left alone; no instance is put aside."""
    chance = random.Random(kills)
    alone, other = tmp_path / "alone", tmp_path / "killed"
    with closing(Spool(alone / "spool", 10**9)) as spool:
        for path in images(tmp_path / "in", instances):
            spool.receive(path.read_bytes())
    shutil.copytree(alone, other)
    with Serving(alone, "PACS@127.0.0.1:9") as serving:
        serving.wait(lambda: serving.count("received") == 0)
        serving.end(signal.SIGTERM)
    serving = Serving(other, "PACS@127.0.0.1:9", seconds=0.05)
    for number in range(kills):
        with serving:
            left = serving.count("received")
            wanted = left - chance.randrange(2 * instances // kills) if number % 3 else left
            serving.wait(lambda wanted=wanted: serving.count("received") <= max(wanted, 1))  # type: ignore[misc]
            time.sleep(0.2 * chance.random())
    with serving:
        serving.wait(lambda: serving.count("received") == 0)
    assert serving.count("failed") == 0
    assert results(other / "spool") == results(alone / "spool")
    assert len(results(alone / "spool")) == 3 * instances - 1  # the first shows no lesion


def test_killed_at_its_start(tmp_path: Path) -> None:
    killed(tmp_path, 4, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_ten_times(tmp_path: Path) -> None:
    killed(tmp_path, 60, 10)


def recipe(folder: Path, serving: Serving, port: int) -> dict[str, Any]:
    """The configuration of docs/pacs.md with a free port, and a script that does not wait so long."""
    (settings,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "pacs.md").read_text(), re.DOTALL)
    script = (ROOT / "docker" / "orthanc.lua").read_text()
    assert "PAUSE_S, BATCH, FULL_S = 20," in script
    (folder / "busmonai.lua").write_text(script.replace("FULL_S = 20,", "FULL_S = 1,"))
    config = json.loads(settings) | {"LuaScripts": [str(folder / "busmonai.lua")], "DicomPort": port}
    config["DicomModalities"]["busmonai"]["Port"] = serving.port
    return config


def test_orthanc_keeps_what_the_node_misses(orthanc_files: tuple[str, Path], tmp_path: Path) -> None:
    """It sends what it stores and takes the results, which start nothing new; while the node is down it waits."""
    port = free_port()
    serving = Serving(tmp_path, f"ORTHANC@127.0.0.1:{port}")
    orthanc = OrthancServer(tmp_path / "orthanc", *orthanc_files, **recipe(tmp_path, serving, port))
    sources = images(tmp_path / "in", 6)
    other = pydicom.dcmread(sources[5])
    other.BodyPartExamined = "LIVER"  # which the script does not send
    other.save_as(sources[5])

    def upload(paths: list[Path]) -> None:
        for path in paths:
            requests.post(f"{orthanc.url}/instances", path.read_bytes(), timeout=PATIENCE_S).raise_for_status()

    orthanc.start()
    try:
        with serving:
            upload(sources[:2])
            serving.wait(lambda: orthanc.counts() == {"SEG": 1, "SR": 2, "US": 2})
            serving.wait(lambda: serving.count("done") == 0)
            assert serving.end(signal.SIGTERM) == 0
        upload(sources[2:4])

        def tries_again() -> bool:
            # as a health check does, which moves the queue on
            requests.get(f"{orthanc.url}/system", timeout=PATIENCE_S)
            return "trying again" in (tmp_path / "orthanc" / "log").read_text()

        wait_until(tries_again)
        orthanc.stop()  # nor is it lost with Orthanc
        orthanc.start()
        upload(sources[4:])
        with serving:
            serving.wait(lambda: orthanc.counts() == {"SEG": 4, "SR": 5, "US": 6})
            serving.wait(lambda: serving.count("done") == 0)
            assert serving.end(signal.SIGTERM) == 0
        assert serving.log.count("objects sent to") == 5
    finally:
        orthanc.stop()


def test_rules_of_a_config_file(orthanc: OrthancServer, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        f'''
allow = ["SCANNER", "ORTHANC"]
send-to = "{orthanc.send_to}"
[[rules]]
do = "not assessed"
description = "*phantom*"
[[rules]]
do = "segment"
calling = "SCAN*"
'''
    )
    sources = images(tmp_path / "in", 3)
    test = pydicom.dcmread(sources[1])
    test.SeriesDescription = "QA Phantom"
    test.save_as(sources[1])
    serving = Serving(tmp_path, orthanc.send_to)
    at = serving.words.index("--allow")
    serving.words[at:-6] = ["--config", str(tmp_path / "node.toml")]
    with serving:
        assert store(serving.port, sources[:2]) == [0, 0]
        assert store(serving.port, sources[2:], calling="ORTHANC") == [0]
        serving.wait(lambda: serving.count("received") == 0)
        serving.wait(lambda: orthanc.counts() == {"SR": 1})
        assert serving.end(signal.SIGTERM) == 0
    said = [line.partition("not assessed: ")[2] for line in serving.log.splitlines() if "not assessed" in line]
    assert sorted(line[:9] for line in said) == ["No rule o", "Rule 1 of"]
