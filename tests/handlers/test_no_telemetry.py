"""MLflow's reports are off, whoever imported it first."""

from __future__ import annotations

import pytest
from mlflow.telemetry import get_telemetry_client, set_telemetry_client, utils

from bus_monai.handlers.no_telemetry import SWITCH, stop_telemetry


def test_reports_are_off_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "_IS_IN_CI_ENV_OR_TESTING", False)
    monkeypatch.setattr(utils, "_IS_MLFLOW_DEV_VERSION", False)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.setenv(SWITCH, "false")
    stop_telemetry()
    assert get_telemetry_client() is not None
    monkeypatch.delenv(SWITCH)
    stop_telemetry()
    assert get_telemetry_client() is None
    monkeypatch.undo()
    set_telemetry_client()
