"""A segmenter as MONAI Label asks for it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from bus_monai.inference.model_key import model_key
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import segment_frames
from bus_monai.label.model_versions import ModelVersions
from bus_monai.label.result_files import LESIONS, ResultFiles, describe
from bus_monai.label.result_object import write_object
from bus_monai.registry import bundle_version


class SegmentTask(InferTask):
    """Segment an image with the active version of a model.

    The request may hold ``threshold`` (0.5), ``min_area``, ``tolerance`` of the contours in the answer in pixels, and
    ``result_extension``: ``.png``, ``.nii.gz``, ``.nii``, ``.json`` (contours) or ``.dcm`` (DICOM SEG, of a cine the
    frame that shows most lesion). Without it NIfTI images and cines give ``.nii.gz``, others ``.png``.

    Args:
        versions: of the model.
    """

    def __init__(self, versions: ModelVersions) -> None:
        bundle = versions.start.bundle
        super().__init__(
            InferType.SEGMENTATION, LESIONS, 2, f"Lesions by {bundle.name} {bundle_version(bundle)}", {"threshold": 0.5}
        )
        self.versions = versions
        self._results = ResultFiles()
        self._lock = Lock()
        self._loaded: tuple[str, Predictor] | None = None

    def is_valid(self) -> bool:
        """Whether it can be offered: it always has weights."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """Return the file of the active weights."""
        return str(self.versions.model().files[0])

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a new file of the result, and contours, measures and the number of the model's version.

        Raises:
            UserError: the image cannot be read, or the result cannot be of that kind.
        """
        image = Path(request["image"])
        predictor, version = self.predictor()
        found = segment_frames(predictor, image, float(request.get("threshold", 0.5)), request.get("min_area"))
        params = describe(found.labels, request) | {"lesions": found.rows(), "model_version": version}
        if request.get("result_extension") == ".dcm":
            made = datetime.now(timezone.utc)
            output = self._results.make(".dcm", lambda path: write_object(found, image, path, predictor, made))
        else:
            output = self._results.write(found.labels, image, request, params)
        return str(output), params

    def predictor(self) -> tuple[Predictor, int]:
        """Return the active model, loaded, and the number of its version."""
        with self._lock:
            version = self.versions.active
            model = self.versions.model(version)
            key = model_key(model)
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = key, Predictor(model, backend="torch")
            return self._loaded[1], version
