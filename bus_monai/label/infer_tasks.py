"""Inference as MONAI Label asks for it: segment, refine by clicks, and write the result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from bus_monai.bundle.models import model_key
from bus_monai.bundle.registry import bundle_version
from bus_monai.dicom.segmentation import make_segmentations
from bus_monai.dicom.source_header import Algorithm, write_dicom
from bus_monai.errors import UserError
from bus_monai.geometry.lesion import MAX_LESIONS
from bus_monai.inference.backends.backend import SENSITIVITIES, Sensitivity
from bus_monai.inference.predictor import Predictor, has_operating_points
from bus_monai.inference.segment_frames import FindInFrame, SegmentedFile, segment_frames
from bus_monai.interaction.refine import refine
from bus_monai.io.masks import usual_suffix, write_labels
from bus_monai.io.nifti import StoredOrder, nifti_header, stored_order
from bus_monai.io.opened import OpenedSource, open_source, source_kind
from bus_monai.label.contours import fill_contours, keep_numbers, label_contours
from bus_monai.label.model_versions import ModelVersions
from bus_monai.label.records import mask_digest
from bus_monai.label.request import DEFAULT_SENSITIVITY, RESULT_SUFFIXES, InferOptions, read_prompts
from bus_monai.sources.read import image_shape, read_source
from bus_monai.transforms.image_region import find_regions

LESION_NAMES = {f"lesion {number}": number for number in range(1, MAX_LESIONS + 1)}
"""Names of label values: a lesion has the same in every frame of a cine."""


class ResultFiles:
    """New files in a folder that ends with the process.

    It is apart, since MONAI Label's client saves under the same name in the common temporary folder.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bus_monai-")

    def make(self, suffix: str, write: Callable[[Path], object]) -> Path:
        """Return a new file that ``write`` has filled; there is none where that fails."""
        with tempfile.NamedTemporaryFile(dir=self._folder.name, suffix=suffix, delete=False) as file:
            output = Path(file.name)
        try:
            write(output)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
        return output

    def write(
        self, labels: Sequence[NDArray[np.integer]], image: Path, suffix: str | None, params: Mapping[str, Any]
    ) -> Path:
        """Return a new file of the labels (H, W), one per frame, of the kind that the suffix says.

        Without it NIfTI images and cines give ``.nii.gz``, others ``.png``.

        Raises:
            UserError: a PNG is asked for several frames.
        """
        suffix = suffix or usual_suffix(len(labels), image)
        if suffix == ".json":
            return self.make(suffix, lambda path: path.write_text(json.dumps(params["contours"]), encoding="utf-8"))
        return self.make(suffix, lambda path: write_labels(labels, image, path))


def describe(labels: Sequence[NDArray[np.integer]], tolerance: float) -> dict[str, Any]:
    """Return the names of the labels (H, W) that there are, contours straightened by ``tolerance``, and a hash."""
    return {
        "mask_sha256": mask_digest(labels),
        "label_names": {name: n for name, n in LESION_NAMES.items() if any((frame == n).any() for frame in labels)},
        "contours": label_contours(labels, tolerance=tolerance),
    }


def write_object(
    found: SegmentedFile, source: OpenedSource, output: Path, predictor: Predictor, creation: datetime
) -> None:
    """Write the lesions of all frames as one DICOM SEG, or where there is one a frame that which shows most of them.

    Raises:
        UserError: the image is no DICOM file, or holds no lesion.
    """
    if source.kind != "dicom":
        raise UserError(f"'{source.path.name}' is no DICOM file: ask for .png, .nii.gz or .json.")
    algorithm = Algorithm(predictor.name, predictor.version, predictor.weights_hash)
    objects = make_segmentations(source.header, found.labels, algorithm, creation=creation)
    if not objects:
        raise UserError(f"'{source.path.name}' shows no lesion, so there is no segmentation: ask for .png or .json.")
    write_dicom(next((made for made in objects if int(made.InstanceNumber) == found.summary + 1), objects[0]), output)


class SegmentTask(InferTask):
    """Segment an image with the active version of a model.

    The request may hold ``threshold`` (0.5), ``sensitivity`` (``balanced``, where the model has operating points),
    ``min_area``, ``any_body_part`` (false: what shows no breast is an error),
    ``tolerance`` of the contours in the answer in pixels, and ``result_extension``: ``.png``, ``.nii.gz``, ``.nii``,
    ``.nrrd``, ``.json`` (contours) or ``.dcm`` (DICOM SEG, of a cine the frame that shows most lesion). Without it
    NIfTI images and cines give ``.nii.gz``, others ``.png``.

    Args:
        versions: of the model.
    """

    def __init__(self, versions: ModelVersions) -> None:
        bundle = versions.start.bundle
        # a client offers a list as choices, the first of them at first
        points = sorted(SENSITIVITIES, key=lambda point: point != DEFAULT_SENSITIVITY)
        super().__init__(
            InferType.SEGMENTATION,
            LESION_NAMES,
            2,
            f"Lesions by {bundle.name} {bundle_version(bundle)}",
            {"threshold": 0.5} | ({"sensitivity": points} if has_operating_points(versions.start) else {}),
        )
        self.versions = versions
        self._results = ResultFiles()
        self._lock = Lock()
        self._loaded: dict[tuple[str, Sensitivity], Predictor] = {}

    def is_valid(self) -> bool:
        """Whether it can be offered: it always has weights."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """Return the file of the active weights."""
        return str(self.versions.model().files[0])

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a new file of the result, and contours, measures and the number of the model's version.

        Raises:
            UserError: the image cannot be read, a parameter is not of its kind, or the result cannot be.
        """
        image, options = Path(request["image"]), InferOptions.of(request, (*RESULT_SUFFIXES, ".dcm"))
        predictor, version = self.predictor(options.sensitivity)
        find = FindInFrame(predictor, options.threshold, options.min_area, options.any_body_part)
        with open_source(image) as source:
            found = segment_frames(find, source)
            params = describe(found.labels, options.tolerance) | {"lesions": found.rows(), "model_version": version}
            if options.suffix == ".dcm":
                made = datetime.now(timezone.utc)
                output = self._results.make(".dcm", lambda path: write_object(found, source, path, predictor, made))
            else:
                output = self._results.write(found.labels, image, options.suffix, params)
        return str(output), params

    def predictor(self, sensitivity: Sensitivity = DEFAULT_SENSITIVITY) -> tuple[Predictor, int]:
        """Return the active model, loaded, and the number of its version.

        Raises:
            UserError: it has no operating points, and another than the usual one is asked for.
        """
        with self._lock:
            version = self.versions.active
            model = self.versions.model(version)
            key = model_key(model), sensitivity
            if key not in self._loaded:
                made = Predictor(model, backend="torch", sensitivity=sensitivity)
                self._loaded = {old: kept for old, kept in self._loaded.items() if old[0] == key[0]} | {key: made}
            return self._loaded[key], version


CLICKS_SUFFIX = "_clicks"
"""Suffix of a task's name after that of the model."""


class ClickTask(InferTask):
    """Change what the active version of a model finds, or the contours sent along, by clicks and a box.

    The request holds prompts, see :func:`~bus_monai.label.request.read_prompts`, and may hold what one to
    :class:`SegmentTask` does, but for ``.dcm``, and ``contours``, what is lesion so far in place of the model's
    result. Only frames with prompts change, and the numbers of lesions stay.
    To go on, ask again with one click more; to undo, with one less.

    Args:
        segmenter: the task of the model.
    """

    def __init__(self, segmenter: SegmentTask) -> None:
        super().__init__(InferType.DEEPGROW, LESION_NAMES, 2, f"{segmenter.description}, made better by clicks", {})
        self.segmenter = segmenter
        self._results = ResultFiles()

    def is_valid(self) -> bool:
        """Whether it can be offered: it always has weights."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a new file of the result, and contours and the number of the model's version.

        Raises:
            UserError: the image cannot be read, prompts or contours are none or outside, or the result cannot be of
                that kind.
        """
        image, options = Path(request["image"]), InferOptions.of(request)
        shape = image_shape(image)
        order = stored_order(nifti_header(image)) if source_kind(image) == "nifti" else StoredOrder()
        prompts = read_prompts(request, order, shape[1:])
        if beyond := [frame for frame in prompts if not 0 <= frame < shape[0]]:
            raise UserError(f"There is no frame {beyond[0]} in '{image.name}': number them from 0 to {shape[0] - 1}.")
        predictor, version = self.segmenter.predictor(options.sensitivity)
        drawn, stamp = request.get("contours"), image.stat().st_mtime_ns
        if drawn is None:
            find = FindInFrame(predictor, options.threshold, options.min_area, options.any_body_part)
            labels = [frame.astype(np.uint8) for frame in _found(find, image, stamp)]
        else:
            labels = list(fill_contours(drawn, shape))
        for frame, said in prompts.items():
            before = labels[frame]
            belief = before > 0 if drawn is not None else _belief(predictor, image, stamp, frame, before)
            labels[frame] = keep_numbers(refine(read_source(image, frame).pixels, belief, *said), before)
        params = describe(labels, options.tolerance) | {"model_version": version}
        return str(self._results.write(labels, image, options.suffix, params)), params


def _belief(
    predictor: Predictor, image: Path, stamp: int, frame: int, labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the probability without what is no finding, so that no speck comes back by a click elsewhere, and of one
    half or more in findings, whatever the threshold was.
    """
    probability = _probability(predictor, image, stamp, frame).copy()
    probability[(probability >= 0.5) & (labels == 0)] = 0
    probability[labels > 0] = np.maximum(probability[labels > 0], 0.5)
    return probability


@lru_cache(maxsize=1)  # the image that is being clicked at, until it changes
def _found(find: FindInFrame, image: Path, stamp: int) -> Sequence[NDArray[np.uint16]]:
    with open_source(image) as source:
        return segment_frames(find, source).labels


@lru_cache(maxsize=1)
def _probability(predictor: Predictor, image: Path, stamp: int, frame: int) -> NDArray[np.float32]:
    shown = read_source(image, frame)
    return predictor.predict(shown.pixels, find_regions(shown.pixels, shown.images))
