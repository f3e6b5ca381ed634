"""What several tests need: real data, small phantoms, and skips that fail where nothing may be skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bus_monai.data.phantoms import write_phantoms

ROOT = Path(__file__).parent.parent
BUNDLE = ROOT / "bundles" / "rdau_gan"


def skip(reason: str) -> None:
    """Skip, or fail where ``BUS_MONAI_NO_SKIP`` is set."""
    if os.environ.get("BUS_MONAI_NO_SKIP"):
        pytest.fail(f"nothing may be skipped here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real data."""
    folder = Path(os.environ.get("BUS_MONAI_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "busi").is_dir():
        skip(f"no real images: '{folder}/data/busi' does not exist (set BUS_MONAI_SHARED)")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a headless browser."""
    path = shutil.which("chromium") or shutil.which("google-chrome") or ""
    if not path:
        skip("no browser: install chromium")
    return path


@pytest.fixture(scope="session")
def small_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four phantoms of 64x64 with a datalist."""
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", count=24, size=(64, 64), seed=3, progress=False)


@pytest.fixture(autouse=True, scope="session")
def _quiet_git() -> None:
    # MLflow asks git for a commit, which prints a warning where there is none
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    return
