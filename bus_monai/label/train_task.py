"""Fine-tuning on the labels, as MONAI Label asks for it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from bus_monai.bundle.declared import check_settings
from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import TRAIN_CONFIG, TRAINED_FILE, bundle_version
from bus_monai.bundle.run import train_run
from bus_monai.bundle.settings import read_config, read_settings, set_by_user
from bus_monai.data.datalist import Case, Datalist, write_datalist
from bus_monai.data.near_duplicates import join_groups
from bus_monai.data.readers.own_images import LabeledImage, file_id, label_cases, list_labels
from bus_monai.errors import UserError, user_error
from bus_monai.experiments.cross_validation import held_out_scores
from bus_monai.io.atomic import write_json
from bus_monai.io.image import image_stem
from bus_monai.label.model_versions import PROGRESS_FILE, ModelVersions, compare_scores, is_better, verdict
from bus_monai.label.store import LabelStore
from bus_monai.sources.read import image_shape

SHORT_TRAINING = {"max_epochs": 10, "pretrain_epochs": 0, "phase1_epochs": 5, "encoder_weights": None}
"""Of a training that starts from a trained model, as far as its bundle has these keys."""
RATES = ("lr", "g_lr", "d_lr")
RATE_SHARE = 0.1
"""Of the bundle's learning rates: these themselves made the model worse for patients that it was not trained on."""
SHOWN_SETTINGS = ("max_epochs", *RATES)
"""That clients offer to set, as far as a bundle has them: epochs and learning rates."""
PATIENCE = 3
"""Epochs without a better validation Dice after which a training stops."""


class Progress:
    """How far a training is, in a file and a line per epoch; it ends when nothing gets better.

    Args:
        path: of the file.
        epochs: of the training.
    """

    def __init__(self, path: Path, epochs: int) -> None:
        self.path, self.epochs = path, epochs
        self.best, self.best_epoch = -1.0, 0
        self.ended_early = ""
        """In a sentence, where it did."""

    def __call__(self, epoch: int, score: float) -> bool:
        """Tell the validation Dice of an epoch; return whether there is hope for a better one."""
        if score > self.best:
            self.best, self.best_epoch = score, epoch
        note = {"epoch": epoch, "max_epochs": self.epochs, "dice": round(score, 4)}
        write_json(self.path, note | {"best_dice": round(self.best, 4), "best_epoch": self.best_epoch})
        goes_on = epoch - self.best_epoch < PATIENCE
        if not goes_on and epoch < self.epochs:
            self.ended_early = (
                f" The training stopped by itself after epoch {epoch} of {self.epochs}: the last {PATIENCE} brought no "
                f"better Dice than epoch {self.best_epoch}."
            )
        print(
            f"epoch {epoch} of {self.epochs}: validation Dice {score:.4f}, best {self.best:.4f} in epoch "
            f"{self.best_epoch}{'' if goes_on else f'; it stops, none of {PATIENCE} was better'}",
            flush=True,
        )
        return goes_on


def fine_tune(
    versions: ModelVersions,
    write_data: Callable[[Path], Datalist],
    settings: Mapping[str, Any],
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Train the active model further with its bundle's own ``train.json``, and activate it if it is better.

    Args:
        versions: of the model.
        write_data: writes the data set into an empty folder.
        settings: keys of ``train.json``, before those of :data:`SHORT_TRAINING` and of the active model; plain data.
        go_on: asked after every epoch; a training that may not go on leaves nothing.

    Returns:
        The report of the new version: its number, when it was trained and on how many images, whether it was activated,
        the ``comparison`` with the one that was active before, see
        :func:`~bus_monai.label.model_versions.compare_scores`, and the ``verdict``, which says so in a sentence, and in
        another that the training stopped by itself, where it did.

    Raises:
        UserError: it is being trained already, it is an ensemble, or data or settings are wrong.
    """
    check_settings(settings, versions.start.bundle, "The training")
    with versions.training() as folder:
        before = versions.active
        old = versions.model(before)
        if len(old.files) > 1:
            raise UserError(f"'{old.name}' is an ensemble, which cannot be trained further: offer one of its files.")
        (folder / "data").mkdir()
        datalist = write_data(folder / "data")
        chosen = _choose_settings(old, datalist, settings)
        progress = Progress(versions.folder / PROGRESS_FILE, int(chosen["max_epochs"]))
        overrides = chosen | {"dataset_dir": str(folder / "data"), "run_name": f"from version {before}"}
        train_run(
            old.bundle,
            folder,
            overrides,
            start=str(old.files[0]),
            on_epoch=lambda epoch, score: progress(epoch, score) and go_on(),
        )
        if not go_on():
            return {"stopped": True}
        weights = folder / TRAINED_FILE
        new = TrainedModel(old.name, old.bundle, str(weights), read_settings(weights))
        cases = independent_cases(datalist)
        comparison = compare_scores(
            *(held_out_scores(model, cases) for model in (old, new)), groups=[case.group for case in cases]
        )
        report = {
            "from_version": before,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "images": {name: len(cases) for name, cases in datalist.sections()},
            "comparison": comparison,
            "activated": is_better(comparison),
        }
        report["verdict"] = verdict(old.name, int(folder.name), before, comparison) + progress.ended_early
        number = versions.keep(folder, report)
        if report["activated"]:
            versions.activate(number)
        return {"version": number, **report}


def independent_cases(datalist: Datalist) -> list[Case]:
    """Return the test cases that nothing like them was trained on, with near-duplicates in one group."""
    learned = [*datalist.training, *datalist.validation]
    cases = join_groups([*learned, *datalist.test])
    seen = {case.group for case in cases[: len(learned)]}
    return [case for case in cases[len(learned) :] if case.group not in seen]


def _choose_settings(model: TrainedModel, datalist: Datalist, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set in ``train.json``: as it was for the model, but short, and as is asked for."""
    # every label counts: what has none is unlabeled, and nothing else
    labeled = {"labeled_fraction": None if datalist.unlabeled else 1}
    known = set_by_user(read_config(model.bundle / "configs" / TRAIN_CONFIG))
    wanted = model.settings | _short_training(known) | labeled | dict(settings)
    chosen = {key: value for key, value in wanted.items() if key in known}
    if "phase1_epochs" in chosen:
        chosen["phase1_epochs"] = min(int(chosen["phase1_epochs"]), max(int(chosen["max_epochs"]) - 1, 0))
    return chosen


def _short_training(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a training that starts from a trained model, by those of the bundle."""
    # of the bundle's rates, since the model's own may be a share of them
    rates = {key: float(f"{RATE_SHARE * known[key]:.3g}") for key in RATES if key in known}
    return SHORT_TRAINING | rates


HELD_OUT_LIMITS = {"test": 0.2, "validation": 0.3}
"""Up to which hash in [0, 1) a group belongs to a section; those above are trained on."""
logger = logging.getLogger("bus_monai")


def write_training_data(labels: Sequence[LabeledImage], images: Mapping[str, Path], folder: Path) -> Datalist:
    """Write images and masks with a ``datalist.json`` into a folder; images are linked, not copied, where that works.

    Of a cine every frame that shows a lesion is a case. Labels that were accepted as a model made them are trained on
    and nothing else: those of held-out patients are left out. Unlabeled files that cannot be read are left out with a
    warning.

    Args:
        labels: the final ones.
        images: files of all images by name.
        folder: empty.

    Raises:
        UserError: too few patients are labeled, or a file cannot be read.
    """
    sections: dict[str, list[Case]] = {name: [] for name in ("training", "validation", "test", "unlabeled")}
    of_patient = split_patients({one.patient for one in labels if not one.is_accepted})
    held_out = max(_hash(patient) for patient, section in of_patient.items() if section != "training")
    for one in labels:
        # what is accepted may be corrected later, and its patient held out then
        late = _hash(one.patient) > max(held_out, *HELD_OUT_LIMITS.values())
        section = of_patient.get(one.patient) or ("training" if late else "")
        if section and not (one.is_accepted and section != "training"):
            sections[section] += [_linked(case, folder) for case in label_cases(one, folder)]
    labeled = {one.name for one in labels}
    for name, image in sorted(images.items()):
        if name in labeled:
            continue
        one = LabeledImage(name, image, image)
        try:
            image_shape(image)
        except UserError as error:
            logger.warning("Left out: %s", error)
            continue
        sections["unlabeled"].append(_linked(Case(file_id(name), image, (), one.group, "unknown"), folder))
    datalist = Datalist.of(sections)
    write_datalist(folder, datalist)
    return datalist


def split_patients(patients: Iterable[str]) -> dict[str, str]:
    """Assign patients to ``training``, ``validation`` and ``test`` so that more labels never test what was trained on.

    In the order of a hash of their names; a held-out section has at least one.

    Raises:
        UserError: none is left to train on.
    """
    left = sorted(patients, key=lambda patient: (_hash(patient), patient))
    sections: dict[str, str] = {}
    total = len(left)
    for section, limit in HELD_OUT_LIMITS.items():
        count = max(sum(_hash(patient) < limit for patient in left), 1)
        sections |= dict.fromkeys(left[:count], section)
        left = left[count:]
    if not left:
        raise UserError(
            f"All of the {total} patients whose labels were drawn or corrected by hand are held out to validate and "
            "test with: label more images."
        )
    return sections | dict.fromkeys(left, "training")


def _hash(patient: str) -> float:
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64


def _linked(case: Case, folder: Path) -> Case:
    """Return a case with its image in a folder."""
    if case.image.parent == folder:  # a frame of a cine, written there
        return case
    path = folder / (case.id + case.image.name.removeprefix(image_stem(case.image.name)))
    try:
        os.link(case.image, path)
    except OSError:
        shutil.copyfile(case.image, path)
    return replace(case, image=path)


REQUEST_KEYS = frozenset({"model", "client_id", "gpus", "local_rank", "device", "name"})
"""Keys of a request that are not settings of ``train.json``."""


class FineTuneTask(TrainTask):
    """Train a model further in a process of its own, see :func:`~bus_monai.label.train_task.fine_tune`.

    The request may hold keys of the bundle's ``train.json``, such as ``max_epochs``.

    Args:
        versions: of the model.
    """

    def __init__(self, versions: ModelVersions) -> None:
        bundle = versions.start.bundle
        super().__init__(f"Train {bundle.name} {bundle_version(bundle)} on the labels")
        self.versions = versions

    def config(self) -> dict[str, Any]:
        """Return what clients offer to set: epochs and learning rates."""
        start = self.versions.start
        known = set_by_user(read_config(start.bundle / "configs" / TRAIN_CONFIG))
        known |= start.settings | _short_training(known)
        return {key: known[key] for key in SHOWN_SETTINGS if key in known}

    def stats(self) -> dict[str, Any]:
        """Return the versions, and how far the last training came."""
        return {**self.versions.info(), "progress": self.versions.progress()}

    def settings(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a request sets in ``train.json``.

        Raises:
            UserError: it is not what the bundle declares of its settings, or names a file.
        """
        settings = {key: value for key, value in request.items() if key not in REQUEST_KEYS}
        check_settings(settings, self.versions.start.bundle, "The request")
        for key, value in settings.items():
            if isinstance(value, str) and ("/" in value or "\\" in value):
                raise UserError(f"The request sets '{key}' to {value!r}: give a word, and no file.", key=key)
        return settings

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
            return write_training_data(list_labels(datastore.folder), images, folder)

        try:
            settings = self.settings(request)
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
