"""The systemd unit of docs/pacs.md, as systemd itself reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, skip


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if not tool:
        skip("no systemd-analyze: install systemd")
    (unit,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs" / "pacs.md").read_text(), re.DOTALL)
    path = tmp_path / "busmonai.service"
    path.write_text(unit.replace("/opt/busmonai/bin/bus-monai", "/bin/true"))
    done = subprocess.run([tool, "verify", "--man=no", path], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "busmonai" in line] == []
    rated = subprocess.run([tool, "security", "--offline=yes", "--no-pager", path], capture_output=True, text=True)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", rated.stdout)
    assert float(exposure) < 2.5
