"""One training on the labels of a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

from bus_monai.atomic_file import atomic_file
from bus_monai.data.datalist import Datalist
from bus_monai.errors import UserError
from bus_monai.experiments.train_run import train_run
from bus_monai.inference.models import TrainedModel
from bus_monai.inference.predictor import Predictor
from bus_monai.label.model_versions import ModelVersions
from bus_monai.metrics.case_scores import score_case
from bus_monai.settings import read_settings
from bus_monai.source import read_masks, read_source
from bus_monai.weights_file import TRAINED

PROGRESS = "progress.json"
SHORT = {"max_epochs": 10, "pretrain_epochs": 0, "phase1_epochs": 5, "encoder_weights": None}
"""Of a training that starts from a trained model, as far as its bundle has these keys."""


def fine_tune(
    versions: ModelVersions,
    write_data: Callable[[Path], Datalist],
    settings: Mapping[str, Any],
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Train the active model further with its bundle's own ``train.json``, and activate it if it is not worse.

    Args:
        versions: of the model.
        write_data: writes the data set into an empty folder.
        settings: keys of ``train.json``, before those of :data:`SHORT` and of the active model.
        go_on: asked after every epoch; a training that may not go on leaves nothing.

    Returns:
        The report of the new version: its number, when it was trained and on how many images, the mean Dice of it and
        of the one that was active before on the held-out images, and whether it was activated.

    Raises:
        UserError: it is being trained already, it is an ensemble, or data or settings are wrong.
    """
    with versions.training() as folder:
        before = versions.active
        old = versions.model(before)
        if len(old.files) > 1:
            raise UserError(f"'{old.name}' is an ensemble, which cannot be trained further: offer one of its files.")
        (folder / "data").mkdir()
        datalist = write_data(folder / "data")
        chosen = _choose_settings(old, datalist, settings)
        epochs = int(chosen["max_epochs"])

        def on_epoch(epoch: int, score: float) -> bool:
            note = {"epoch": epoch, "max_epochs": epochs, "dice": round(score, 4)}
            with atomic_file(versions.folder / PROGRESS) as partial:
                partial.write_text(json.dumps(note) + "\n", encoding="utf-8")
            print(f"epoch {epoch} of {epochs}: validation Dice {score:.4f}", flush=True)
            return go_on()

        overrides = chosen | {"dataset_dir": str(folder / "data"), "run_name": f"from version {before}"}
        train_run(old.bundle, folder, overrides, start=str(old.files[0]), on_epoch=on_epoch)
        if not go_on():
            return {"stopped": True}
        weights = folder / TRAINED
        new = TrainedModel(old.name, old.bundle, str(weights), read_settings(weights))
        scores = {name: held_out_score(model, datalist) for name, model in (("dice_before", old), ("dice", new))}
        report = {
            "from_version": before,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "images": {name: len(cases) for name, cases in datalist.sections()},
            **scores,
            "activated": scores["dice"] >= scores["dice_before"],
        }
        number = versions.keep(folder, report)
        if report["activated"]:
            versions.activate(number)
        return {"version": number, **report}


def _choose_settings(model: TrainedModel, datalist: Datalist, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set in ``train.json``: as it was for the model, but short, and as is asked for."""
    keys = json.loads((model.bundle / "configs" / "train.json").read_text(encoding="utf-8"))
    # every label counts: what has none is unlabelled, and nothing else
    labelled = {"labeled_fraction": None if datalist.unlabeled else 1}
    wanted = model.settings | SHORT | labelled | dict(settings)
    chosen = {key: value for key, value in wanted.items() if key in keys}
    if "phase1_epochs" in chosen:
        chosen["phase1_epochs"] = min(int(chosen["phase1_epochs"]), max(int(chosen["max_epochs"]) - 1, 0))
    return chosen


def held_out_score(model: TrainedModel, datalist: Datalist) -> float:
    """Return the mean Dice over the section ``test``; an image without lesion scores 1 where none is found, else 0."""
    predictor = Predictor(model, backend="torch", precision="fp32")
    scores = []
    for case in datalist.test:
        source = read_source(case.image)
        truth = read_masks(case.masks, source.pixels.shape)
        found = score_case(predictor.predict(source.pixels), truth)
        scores.append(float(found.predicted_area_px == 0) if found.dice is None else found.dice)
    return fmean(scores)
