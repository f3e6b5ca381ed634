"""MLflow tells its makers nothing."""

from __future__ import annotations

import os

from mlflow.telemetry import set_telemetry_client

SWITCH = "MLFLOW_DISABLE_TELEMETRY"


def stop_telemetry() -> None:
    """Stop what MLflow reports of its use, unless the variable ``MLFLOW_DISABLE_TELEMETRY`` says otherwise."""
    os.environ.setdefault(SWITCH, "true")
    # MONAI may have imported MLflow before anybody could set the variable
    set_telemetry_client()
