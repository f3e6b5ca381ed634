"""Fine-tuning on the labels, as MONAI Label asks for it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.train import TrainTask
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.declared import check_settings
from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import TRAINED_FILE, bundle_version
from bus_monai.bundle.run import train_run
from bus_monai.bundle.settings import read_config, read_settings, set_by_user
from bus_monai.data.datalist import Case, Datalist, Diagnosis, write_datalist
from bus_monai.data.readers.folder import case_id
from bus_monai.errors import UserError, user_error
from bus_monai.experiments.cross_validation import held_out_score
from bus_monai.io.atomic import atomic_file
from bus_monai.io.image import image_stem
from bus_monai.io.masks import frame_mark, write_png_mask
from bus_monai.io.opened import open_source
from bus_monai.label.label_file import image_shape, read_labels
from bus_monai.label.model_versions import PROGRESS_FILE, ModelVersions
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.sources.read import read_all_frames

SHORT_TRAINING = {"max_epochs": 10, "pretrain_epochs": 0, "phase1_epochs": 5, "encoder_weights": None}
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
        settings: keys of ``train.json``, before those of :data:`SHORT_TRAINING` and of the active model; plain data.
        go_on: asked after every epoch; a training that may not go on leaves nothing.

    Returns:
        The report of the new version: its number, when it was trained and on how many images, the mean Dice of it and
        of the one that was active before on the held-out images, and whether it was activated.

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
        epochs = int(chosen["max_epochs"])

        def on_epoch(epoch: int, score: float) -> bool:
            note = {"epoch": epoch, "max_epochs": epochs, "dice": round(score, 4)}
            with atomic_file(versions.folder / PROGRESS_FILE) as partial:
                partial.write_text(json.dumps(note) + "\n", encoding="utf-8")
            print(f"epoch {epoch} of {epochs}: validation Dice {score:.4f}", flush=True)
            return go_on()

        overrides = chosen | {"dataset_dir": str(folder / "data"), "run_name": f"from version {before}"}
        train_run(old.bundle, folder, overrides, start=str(old.files[0]), on_epoch=on_epoch)
        if not go_on():
            return {"stopped": True}
        weights = folder / TRAINED_FILE
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
    known = set_by_user(read_config(model.bundle / "configs" / "train.json"))
    # every label counts: what has none is unlabeled, and nothing else
    labeled = {"labeled_fraction": None if datalist.unlabeled else 1}
    wanted = model.settings | SHORT_TRAINING | labeled | dict(settings)
    chosen = {key: value for key, value in wanted.items() if key in known}
    if "phase1_epochs" in chosen:
        chosen["phase1_epochs"] = min(int(chosen["phase1_epochs"]), max(int(chosen["max_epochs"]) - 1, 0))
    return chosen


HELD_OUT_LIMITS = {"test": 0.15, "validation": 0.3}
"""Up to which hash in [0, 1) a group belongs to a section; those above are trained on."""
logger = logging.getLogger("bus_monai")


def write_training_data(labels: Mapping[str, Path], images: Mapping[str, Path], folder: Path) -> Datalist:
    """Write images and masks with a ``datalist.json`` into a folder; images are linked, not copied, where that works.

    Of a cine every frame that shows a lesion is a case. Unlabeled files that cannot be read are left out with a
    warning.

    Args:
        labels: files of the final labels by image.
        images: files of all images by name.
        folder: empty.

    Raises:
        UserError: too few patients are labeled, or a file cannot be read.
    """
    groups = {name: _group(images[name], name) for name in labels}
    sections: dict[str, list[Case]] = {name: [] for name in ("training", "validation", "test", "unlabeled")}
    of_group = split_groups(sorted(set(groups.values())))
    for name, label in sorted(labels.items()):
        sections[of_group[groups[name]]] += _labeled(name, images[name], label, groups[name], folder)
    for name, image in sorted(images.items()):
        if name in labels:
            continue
        try:
            image_shape(image)
        except UserError as error:
            logger.warning("Left out: %s", error)
            continue
        sections["unlabeled"].append(_case(name, _linked(image, folder, name), (), _group(image, name)))
    datalist = Datalist.of(sections)
    write_datalist(folder, datalist)
    return datalist


def split_groups(groups: Sequence[str]) -> dict[str, str]:
    """Assign patients to ``training``, ``validation`` and ``test`` so that more labels never test what was trained on.

    In the order of a hash of their names; a held-out section has at least one.

    Raises:
        UserError: none is left to train on.
    """
    left = sorted(groups, key=lambda group: (_hash(group), group))
    sections: dict[str, str] = {}
    for section, limit in HELD_OUT_LIMITS.items():
        count = max(sum(_hash(group) < limit for group in left), 1)
        sections |= dict.fromkeys(left[:count], section)
        left = left[count:]
    if not left:
        raise UserError(
            f"All of the {len(groups)} labeled patients are held out to validate and test with: label more images."
        )
    return sections | dict.fromkeys(left, "training")


def _hash(group: str) -> float:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64


def _group(image: Path, name: str) -> str:
    """Return the patient of a DICOM file, else the image's own name."""
    with open_source(image) as source:
        return str((source.header.get("PatientID") if source.kind == "dicom" else "") or name)


def _labeled(name: str, image: Path, label: Path, group: str, folder: Path) -> Iterator[Case]:
    values = read_labels(label, image_shape(image))
    if len(values) == 1:
        masks = _masks(values[0], folder, name)
        yield _case(name, _linked(image, folder, name), masks, group, "unknown" if masks else "normal")
        return
    for number, (source, frame) in enumerate(zip(read_all_frames(image), values, strict=True)):
        if frame.any():
            of_frame = name + frame_mark(number, len(values))
            picture = folder / f"{_file_name(of_frame)}.png"
            Image.fromarray(np.rint(source.pixels * 255).astype(np.uint8)).save(picture)
            yield _case(of_frame, picture, _masks(frame, folder, of_frame), group)


def _case(name: str, image: Path, masks: tuple[Path, ...], group: str, diagnosis: Diagnosis = "unknown") -> Case:
    return Case(_file_name(name), image, masks, group, diagnosis)


def _masks(labels: NDArray[np.uint8], folder: Path, name: str) -> tuple[Path, ...]:
    if not labels.any():
        return ()
    path = folder / f"{_file_name(name)}_mask.png"
    write_png_mask(labels > 0, path)
    return (path,)


def _linked(image: Path, folder: Path, name: str) -> Path:
    path = folder / (_file_name(name) + image.name.removeprefix(image_stem(image.name)))
    try:
        os.link(image, path)
    except OSError:
        shutil.copyfile(image, path)
    return path


def _file_name(name: str) -> str:
    """Return an id that no other name has."""
    clean = case_id(name)
    return clean if clean == name else f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


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
        """Return what clients offer to set."""
        return {"max_epochs": SHORT_TRAINING["max_epochs"]}

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
            return write_training_data(final_labels(datastore), images, folder)

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
