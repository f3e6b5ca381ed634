"""What audit.json and audit.html hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from bus_monai.cli.data import audit as audit_command
from bus_monai.data.audit.audit_folder import audit_folder
from bus_monai.data.audit.listing import FINDING_MEANINGS
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.report.audit_report import write_audit
from tests.user_errors import raises_user_error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images without masks."""
    place = tmp_path / "set" / "benign"
    place.mkdir(parents=True)
    for seed in range(3):
        Image.fromarray(make_phantom(seed, (64, 80)).image).save(place / f"a{seed}.png")
    return tmp_path / "set"


def test_the_command_writes_both_files(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "benign" / "a1.png", folder / "benign" / "a<b>.png")
    app = typer.Typer()
    app.command()(audit_command)
    result = CliRunner().invoke(app, [str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [
        "     1  groups of duplicates among 4 images",
        str(tmp_path / "out" / "audit.html"),
    ]
    content = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert list(content) == ["images", "duplicate_groups", "duplicate_pairs", "split_groups", "findings"]
    assert list(content["findings"]) == list(FINDING_MEANINGS)
    assert content["duplicate_groups"] == [["benign/a1.png", "benign/a<b>.png"]]
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "benign/a1.png, benign/a&lt;b&gt;.png<br>equal" in page
    assert set(re.findall(r"(?:src|href)=\"(.{5})", page)) <= {"data:", "#dupl"} | {
        f"#{kind[:4]}" for kind in FINDING_MEANINGS
    }


def test_a_folder_that_cannot_be_written_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with raises_user_error(path=tmp_path / "file"):
        write_audit(audit_folder(folder), tmp_path / "file")
