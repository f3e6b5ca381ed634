"""The audit journal: what it holds, for whom, and that no kill loses a row."""

from __future__ import annotations

import json
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from typer.main import get_command

from bus_monai.cli.main import app, main
from bus_monai.pacs.journal import KEY_VARIABLE, Journal, read_study
from tests.pacs.orthanc_server import OrthancServer
from tests.pacs.serving import Serving, images, store
from tests.user_errors import raises_user_error

RECEIVED = datetime(2026, 3, 31, 23, 59, 58, 123456, timezone.utc)
LATER = datetime(2026, 4, 1, 0, 0, 1, tzinfo=timezone.utc)
STUDY = "1.2.840.999.1"


def header() -> Dataset:
    made = Dataset()
    made.PatientName, made.PatientID = "SECRET^ANNA", "SECRET-7"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = STUDY, STUDY + ".2", STUDY + ".3"
    return made


def decide(journal: Journal, name: str, received: datetime, **changes: object) -> None:
    told = {"caller": "SCANNER", "header": header(), "state": "done", "reason": "", "details": {}, "seconds": 1.5}
    journal.decided(name, received, **(told | changes))  # type: ignore[arg-type]


def test_rows_come_back_by_study_and_lie_in_their_month(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    decide(journal, "a", RECEIVED, details={"lesions": [{"number": 1}]})
    decide(journal, "b", LATER, state="not assessed", reason="because")
    decide(journal, "c", LATER, header=None, state="failed")
    journal.stored("a", RECEIVED, "image_seg.dcm", "PACS@b:1")
    journal.stored("a", RECEIVED, "image_seg.dcm", "PACS@b:1")  # sent again after a kill
    first, second = read_study(tmp_path / "journal", STUDY)
    assert (first["instance"], first["received"], first["caller"]) == ("a", "2026-03-31T23:59:58.123+00:00", "SCANNER")
    assert (first["state"], first["seconds"], first["details"]) == ("done", 1.5, {"lesions": [{"number": 1}]})
    assert [(x["object"], x["destination"]) for x in first["stored"]] == [("image_seg.dcm", "PACS@b:1")]
    assert (second["state"], second["reason"], second["stored"]) == ("not assessed", "because", [])
    assert sorted(path.name for path in (tmp_path / "journal").iterdir()) == ["2026-03.sqlite", "2026-04.sqlite", "key"]
    (tmp_path / "journal" / "2026-03.sqlite").unlink()  # moved away
    assert [row["instance"] for row in read_study(tmp_path / "journal", STUDY)] == ["b"]


def test_a_second_decision_replaces_the_first_and_a_second_receipt_does_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    decide(journal, "a", LATER, seconds=1)
    decide(journal, "a", LATER, seconds=2)
    decide(journal, "a", LATER.replace(hour=1), seconds=3)
    assert [row["seconds"] for row in read_study(tmp_path, STUDY)] == [2, 3]


@pytest.mark.parametrize("keep_uids", [False, True])
def test_it_holds_hashes_and_real_uids_only_where_asked(
    keep_uids: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(Journal(tmp_path, keep_uids=keep_uids), "a", LATER)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"SECRET" not in content
    assert (STUDY.encode() in content) == keep_uids
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    (row,) = read_study(tmp_path, STUDY)
    assert (row["uids"].get("image_uid") == STUDY + ".3") == keep_uids
    monkeypatch.setenv(KEY_VARIABLE, "another")
    assert list(read_study(tmp_path, STUDY)) == []


def test_without_a_journal_or_its_key(tmp_path: Path) -> None:
    with raises_user_error(path=tmp_path / "none", key="--spool"):
        list(read_study(tmp_path / "none", STUDY))
    Journal(tmp_path)
    (tmp_path / "key").unlink()
    with raises_user_error(path=tmp_path / "key"):
        list(read_study(tmp_path, STUDY))


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "2026-04.sqlite").write_bytes(b"no base at all, but longer than its head" * 100)
    with pytest.raises(OSError, match="journal"):
        decide(journal, "a", LATER)


def test_models_are_compared_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(name: str, lesions: int, **more: object) -> dict[str, object]:
        return {"model": name, "version": "1", "weights_sha256": "f" * 64, "lesions": [{}] * lesions, **more}

    journal = Journal(tmp_path / "spool" / "journal")
    for number, (old, new) in enumerate([(1, 1), (1, 1), (2, 0), (0, 1), (0, 0)]):
        shadow = told("new", new, state="done", dice=0.5 + 0.1 * number)
        decide(journal, str(number), LATER, details=told("old", old) | {"shadow": shadow})
    decide(journal, "5", RECEIVED, details=told("old", 1) | {"shadow": told("new", 0, state="failed")})
    decide(journal, "6", LATER, details=told("old", 1))
    with pytest.raises(SystemExit, match="0"):
        get_command(app)(["serve", "compare", "--spool", str(tmp_path / "spool")])
    assert json.loads(capsys.readouterr().out) == {
        "sends": "old 1 ffffffffffff",
        "shadow": "new 1 ffffffffffff",
        "instances": 6,
        "both": 2,
        "neither": 1,
        "sends_alone": 1,
        "shadow_alone": 1,
        "failed": 1,
        "median_dice": 0.55,
    }
    Journal(tmp_path / "empty" / "journal")
    with raises_user_error(path=tmp_path / "empty" / "journal"):
        get_command(app)(["serve", "compare", "--spool", str(tmp_path / "empty")], standalone_mode=False)


def test_a_kill_loses_no_row(tmp_path: Path) -> None:
    """What was said to be written is there, whenever the process is killed."""
    code = (
        "import sys\n"
        "from datetime import datetime, timezone\n"
        "from pathlib import Path\n"
        "from bus_monai.pacs.journal import Journal\n"
        "journal, when = Journal(Path(sys.argv[1])), datetime(2026, 4, 1, tzinfo=timezone.utc)\n"
        "for number in range(10_000):\n"
        "    journal.stored(str(number), when, 'image_sr.dcm', 'PACS@b:1')\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            process.send_signal(signal.SIGKILL)
    process.wait()
    with closing(sqlite3.connect(tmp_path / "2026-04.sqlite")) as base:
        (count,) = base.execute("SELECT COUNT(*) FROM stored").fetchone()
        assert count >= 21
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_journal_of_a_node(
    orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = images(tmp_path / "in", 3)
    other = pydicom.dcmread(sources[2])
    other.BodyPartExamined = "LIVER"
    other.save_as(sources[2])
    study = str(other.StudyInstanceUID)
    with Serving(tmp_path, orthanc.send_to) as serving:
        assert store(serving.port, sources) == [0, 0, 0]
        serving.wait(lambda: serving.count("received") + serving.count("done") == 0)
        words = [sys.executable, "-m", "bus_monai", "serve", "audit", "--study"]
        done = subprocess.run([*words, study, "--spool", serving.spool], capture_output=True, text=True, check=True)
        before = ["bus-monai", "serve", "--spool", str(serving.spool), "audit", "--study"]
        capsys.readouterr()
        for asked, code, said in ((study, 0, done.stdout), ("1.2.3", 2, "")):
            monkeypatch.setattr(sys, "argv", [*before, asked])
            with pytest.raises(SystemExit) as stop:
                main()
            assert (stop.value.code, capsys.readouterr().out) == (code, said)
        assert serving.end(signal.SIGTERM) == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["state"] for row in rows] == ["done", "done", "not assessed"]
    assert [len(row["details"].get("lesions", ())) for row in rows] == [0, 1, 0]
    assert [[x["object"] for x in row["stored"]] for row in rows] == [
        ["image_sr.dcm"],
        ["image_seg.dcm", "image_sr.dcm"],
        [],
    ]
    assert {x["destination"] for row in rows for x in row["stored"]} == {orthanc.send_to}
    assert {(row["caller"], row["details"]["model"], row["details"]["threshold"]) for row in rows} == {
        ("SCANNER", "bright", 0.5)
    }
    assert "liver" in rows[2]["reason"].casefold()
    assert rows[1]["details"]["lesions"][0]["unit"] == "px"
    assert "SECRET" not in done.stdout
    assert study not in done.stdout
