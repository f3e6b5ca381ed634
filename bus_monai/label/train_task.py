"""Training on the labels as MONAI Label asks for it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from bus_monai.errors import user_error
from bus_monai.label.fine_tune import PROGRESS, SHORT, fine_tune
from bus_monai.label.model_versions import ModelVersions
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.label.training_data import write_training_data
from bus_monai.registry import bundle_version

OF_MONAI_LABEL = frozenset({"model", "client_id", "gpus", "local_rank", "device", "name"})
"""What a request holds besides keys of ``train.json``."""


class FineTuneTask(TrainTask):
    """Train a model further in a process of its own, see :func:`~bus_monai.label.fine_tune.fine_tune`.

    The request may hold keys of the bundle's ``train.json``, such as ``max_epochs``.

    Args:
        versions: of the model.
    """

    def __init__(self, versions: ModelVersions) -> None:
        bundle = versions.start.bundle
        super().__init__(f"Train {bundle.name} {bundle_version(bundle)} on the labels")
        self.versions = versions

    def config(self) -> dict[str, Any]:
        """Return what clients offer to set."""
        return {"max_epochs": SHORT["max_epochs"]}

    def stats(self) -> dict[str, Any]:
        """Return the versions, and how far the last training came."""
        path = self.versions.folder / PROGRESS
        progress = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {**self.versions.info(), "progress": progress}

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, Any]:
        """Train, and return the report of the new version.

        Raises:
            SystemExit: it is being trained already, labels or settings are wrong, or the training fails; the last line
                that is printed says why, since MONAI Label keeps few.
        """
        # whoever kills the server does not want a model from nobody's training
        parent = os.getppid()

        def write(folder: Path) -> Any:
            images = {name: datastore.image_path(name) for name in datastore.list_images()}
            return write_training_data(final_labels(datastore), images, folder)

        settings = {key: value for key, value in request.items() if key not in OF_MONAI_LABEL}
        try:
            report = fine_tune(self.versions, write, settings, go_on=lambda: os.getppid() == parent)
        except Exception as error:
            traceback.print_exc()
            sys.exit(f"bus-monai: {user_error(error) or repr(_root(error))}")
        print(json.dumps(report), flush=True)
        return report


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
