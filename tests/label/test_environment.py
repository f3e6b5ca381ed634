from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.errors import UserError
from bus_monai.label.environment import READY_MARK, label_environment
from tests.user_errors import check_names


def test_without_a_package_index_there_is_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError) as caught:
        label_environment()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    check_names(caught.value, "monailabel==0.8.5", "pip", path=folder)
    assert not (folder / READY_MARK).exists()
