"""The app, which MONAI Label finds by the name of this file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import bus_monai.label.compatibility  # noqa: F401 isort: skip - before monailabel, see there
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from bus_monai import __version__
from bus_monai.bundle.models import parse_models
from bus_monai.data.datalist import CaseField, read_fields
from bus_monai.data.readers.own_images import list_images
from bus_monai.errors import UserError, check_choice
from bus_monai.label.infer_tasks import CLICKS_SUFFIX, LESION_NAMES, ClickTask, SegmentTask
from bus_monai.label.model_versions import ModelVersions
from bus_monai.label.store import LabelStore
from bus_monai.label.strategies import DiceScoring, Diversity, InOrder, Uncertainty, UncertaintyScoring, shuffled
from bus_monai.label.train_task import FineTuneTask


class BreastUltrasoundApp(MONAILabelApp):
    """Segmentation of breast ultrasound that learns from the labels. Not for clinical use.

    Args:
        app_dir: folder of this file.
        studies: folder of the images, or the URL of a DICOMweb server.
        conf: ``models``, a JSON list of models as the command line names them; the first chooses what to label next.
            With ``trust`` they may lie in any folder.

    Raises:
        UserError: two images differ in suffix alone, or the folder or a model cannot be used.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.store = _open_store(studies)
        self._segmenting, self._choosing = Lock(), Lock()
        models = parse_models(json.loads(conf["models"]), segmenters=True, trust="trust" in conf)
        self.models = {m.name: ModelVersions(self.store.kept / "models" / m.name, m) for m in models}
        self.segmenters = {name: SegmentTask(versions) for name, versions in self.models.items()}
        super().__init__(
            app_dir, studies, conf, "bus_monai", str(type(self).__doc__).splitlines()[0], __version__, LESION_NAMES
        )

    def info(self) -> dict[str, Any]:
        """Return what the server offers, and the fields of a case that it asks for.

        Raises:
            UserError: the folder's list of fields is broken.
        """
        found: dict[str, Any] = super().info()
        return found | {"fields": self.fields()}

    def fields(self) -> list[CaseField]:
        """Return the fields of a case, see :func:`~bus_monai.data.datalist.read_fields`."""
        return read_fields(self.store.folder)

    def init_datastore(self) -> LabelStore:
        """Return the store."""
        return self.store

    def init_infers(self) -> dict[str, InferTask]:
        """Return two tasks per model: what it finds, and that after clicks and a box."""
        clicks = {f"{name}{CLICKS_SUFFIX}": ClickTask(task) for name, task in self.segmenters.items()}
        return {**self.segmenters, **clicks}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return one task per model."""
        return {name: FineTuneTask(versions) for name, versions in self.models.items()}

    def init_batch_infer(self) -> Callable[..., Any]:
        """Return what segments all images."""
        return segment_all

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the ways to choose what to label next, the one first that clients choose by default.

        With a simulated annotator none was better at 80 labels than chance (benchmarks/README.md, the learning loop).
        """
        first = next(iter(self.segmenters.values()))
        return {
            "random": InOrder("Any", shuffled),
            "first": InOrder("The first by name", sorted),
            "uncertainty": Uncertainty(first),
            "diversity": Diversity(first),
        }

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """Return what can be measured of the labels and of the images without one."""
        first = next(iter(self.segmenters.values()))
        return {"dice": DiceScoring(first), "uncertainty": UncertaintyScoring(first)}

    def on_init_complete(self) -> None:
        """Leave out the parent's clean-up of sessions, which runs a thread that does not end with the server."""

    def infer(self, request: dict[str, Any], datastore: LabelStore | None = None) -> dict[str, Any]:
        """Segment an image of the store, and keep the result as a label where ``save_label`` says so.

        Raises:
            UserError: there is no such image or model, or it cannot be read.
        """
        # the parent opens whatever path of this computer it is asked for
        file, params = self.segment(self.store.image_path(request["image"]), request)
        model = request["model"].removesuffix(CLICKS_SUFFIX)
        if not file.endswith(".json"):  # contours, of which nobody makes the same mask
            self.store.results.keep(request["image"], params["mask_sha256"], model, params["model_version"])
        label = file
        if request.get("save_label"):
            tag = request.get("label_tag", DefaultLabelTag.ORIGINAL)
            info = {"model": request["model"], "params": params}
            try:
                label = self.store.save_label(request["image"], file, tag, info)
            except BaseException:
                Path(file).unlink()
                raise
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": params}

    def segment(self, image: Path, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment a file by the model of a request; return the new file of the result, and its measures.

        One at a time: a large image takes gigabytes, and a network all processors.

        Raises:
            UserError: there is no such model, or the file cannot be read.
        """
        check_choice("model", request["model"], self._infers)
        task: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]] = self._infers[request["model"]]
        with self._segmenting:
            return task({**request, "image": str(image)})

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose the next image to label, one at a time."""
        with self._choosing:
            chosen: dict[str, Any] = super().next_sample(request)
        return chosen

    def versions(self, model: str) -> ModelVersions:
        """Return the versions of a model.

        Raises:
            UserError: there is no such model.
        """
        check_choice("model", model, self.models)
        return self.models[model]


def segment_all(
    request: Mapping[str, Any], store: LabelStore, infer: Callable[[dict[str, Any], LabelStore], dict[str, Any]]
) -> dict[str, Any]:
    """Segment images, keep the results as labels, and return their measures by name; MONAI Label's own asks for GPUs.

    Args:
        request: its ``images`` are ``all``, ``labeled`` or ``unlabeled``.
        store: of the images.
        infer: segments one; what it cannot is left out with the sentence that says why.
    """
    listed: dict[str, Callable[[], list[str]]] = {
        "all": store.list_images,
        "labeled": store.get_labeled_images,
        "unlabeled": store.get_unlabeled_images,
    }
    found = {}
    for name in sorted(listed[request.get("images", "all")]()):
        try:
            result = infer({**request, "image": name, "save_label": True}, store)
        except UserError as error:
            print(f"Left out: {error}", flush=True)
            continue
        Path(result["file"]).unlink(missing_ok=True)
        found[name] = result["params"]
    return found


def _open_store(studies: str) -> LabelStore:
    if studies.startswith(("http://", "https://")):
        from bus_monai.label.dicomweb_store import DicomWebStore

        return DicomWebStore(studies)
    list_images(Path(studies))  # of two that differ in suffix alone only one could be opened
    return LabelStore(Path(studies))
