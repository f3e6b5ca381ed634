"""Predict the probability of lesion from the pixels of one image. Imports torch and MONAI only where it must."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bus_monai.bundle.models import TrainedModel, find_model, model_key, weights_hash
from bus_monai.bundle.registry import bundle_version, require_ultrasound
from bus_monai.errors import UserError, check_choice, need_package, writing
from bus_monai.geometry.box import Region, only_inside
from bus_monai.inference.backends.backend import (
    KNOWN_KEY,
    SENSITIVITIES,
    SENSITIVITY_KEY,
    SHIFTS_KEY,
    Backend,
    Precision,
    Prediction,
    Sensitivity,
    multiplies_int8,
)
from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE, INT8_FILE, Chain
from bus_monai.io.atomic import cache_folder, whole_folder
from bus_monai.metrics.findings import CALIBRATION_KEY, Calibration
from bus_monai.transforms.image_region import find_regions

BackendName: TypeAlias = Literal["auto", "openvino", "openvino-int8", "onnx", "torch"]
logger = logging.getLogger("bus_monai")
BACKEND_PACKAGES = {"openvino": "openvino", "openvino-int8": "openvino", "onnx": "onnxruntime"}


class Predictor:
    """A trained segmenter, ready for images of any size.

    Args:
        model: of a bundle for ultrasound.
        backend: ``auto`` is OpenVINO where it is installed and can run the model, else PyTorch, and a warning says why;
            in eight bits, ``openvino-int8``, where the model comes with their ranges, the processor multiplies them
            fast and the precision is ``fast``.
        precision: ``fp32``, or ``fast``, which is bfloat16 where the processor computes in it.
        tta: also segment the image mirrored left to right, and average.
        sensitivity: which of the operating points that were measured with the weights, see the card of the bundle.
        threads: of OpenVINO's network; 0 for what ``OMP_NUM_THREADS`` says, or all cores.

    Raises:
        UserError: the weights are missing or broken, the backend is not installed or cannot run the model, the weights
            have no operating points, or the bundle segments no ultrasound images.
    """

    def __init__(
        self,
        model: TrainedModel,
        *,
        backend: BackendName = "auto",
        precision: Precision = "fast",
        tta: bool = False,
        sensitivity: Sensitivity = "balanced",
        threads: int = 0,
    ) -> None:
        check_choice("backend", backend, get_args(BackendName))
        check_choice("sensitivity", sensitivity, SENSITIVITIES)
        require_ultrasound(model.bundle)
        self.model = model
        self.name = model.title
        self.version = bundle_version(model.bundle)
        self.weights_hash = weights_hash(model)
        self.precision = precision
        self.tta = tta
        self.sensitivity = sensitivity
        stored = model.settings.get(CALIBRATION_KEY)
        self.calibration = Calibration(*stored) if stored else None
        """Of the chance that a finding is a lesion, where that was measured with the weights."""
        self._backend = _make_backend(model, backend, precision, sensitivity, threads)
        self.backend = self._backend.name

    @classmethod
    def from_bundle(
        cls,
        path_or_name: str | Path,
        weights: str | Path | None = None,
        backend: BackendName = "auto",
        *,
        precision: Precision = "fast",
        tta: bool = False,
        sensitivity: Sensitivity = "balanced",
        trust: bool = False,
    ) -> Predictor:
        """Build it from a bundle of the package, by name, or from the folder of one that is trusted.

        Args:
            path_or_name: of the bundle.
            weights: a file, several joined by commas (an ensemble), or ``None`` for the bundle's own.
            backend: as above.
            precision: as above.
            tta: as above.
            sensitivity: as above.
            trust: whether the configs of a folder that is not of the package may run, which is any code.

        Raises:
            UserError: as above, or there is no such bundle, or it is not trusted.
        """
        model = find_model(path_or_name, None if weights is None else str(weights), trust=trust)
        return cls(model, backend=backend, precision=precision, tta=tta, sensitivity=sensitivity)

    def __reduce__(self) -> tuple[partial[Predictor], tuple[TrainedModel]]:
        # another process loads the model anew, with the backend that was found here, so that results are the same
        chosen: Any = {key: getattr(self, key) for key in ("backend", "precision", "tta", "sensitivity")}
        return partial(type(self), **chosen), (self.model,)

    def predict(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> NDArray[np.float32]:
        """Return the probability of lesion; threads may call it at once.

        Where the screen shows something else than ultrasound the network sees black, and the probability is 0.

        Args:
            pixels: (H, W) float32, gray values in [0, 1], rows first.
            regions: where the ultrasound images are; ``None`` to find them.

        Returns:
            (H, W) float32 in [0, 1].

        Raises:
            ValueError: the image has another shape, or no pixel.
        """
        return self.assess(pixels, regions).probability

    def assess(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Return the probability of lesion, and how unlike the images that the model knows an image is.

        Beyond a distance of 1 it shows no breast, or one as the model never saw it.

        Args:
            pixels: as of :meth:`predict`.
            regions: as of :meth:`predict`.

        Raises:
            ValueError: as by :meth:`predict`.
        """
        if pixels.ndim != 2 or not pixels.size:
            raise ValueError(f"pixels must have the shape (H, W), got {pixels.shape}.")
        regions = find_regions(pixels) if regions is None else regions
        pixels = only_inside(regions, np.asarray(pixels, np.float32))
        probability, distance = self._backend(pixels, regions)
        if self.tta:
            turned = [region.mirrored(pixels.shape[1]) for region in regions]
            mirrored = self._backend(np.ascontiguousarray(pixels[:, ::-1]), turned).probability
            probability = np.float32(0.5) * (probability + mirrored[:, ::-1])
        return Prediction(only_inside(regions, np.clip(probability, 0, 1)), distance)


def has_operating_points(model: TrainedModel) -> bool:
    """Whether the points of ``sensitivity`` were measured with the weights."""
    # a training knows of none and leaves them equal
    return len(set(model.settings.get(SHIFTS_KEY, ()))) > 1


def _make_backend(
    model: TrainedModel, name: BackendName, precision: Precision, sensitivity: Sensitivity, threads: int
) -> Backend:
    has_points = has_operating_points(model)
    if sensitivity != "balanced" and not has_points:
        raise UserError(
            f"The model '{model.name}' has no operating points: leave --sensitivity out, and give --threshold instead.",
            key="--sensitivity",
        )
    if name == "auto":
        is_faster = precision == "fast" and multiplies_int8() and _shipped_graph(model, INT8_FILE).is_file()
        try:
            return _make_backend(model, "openvino-int8" if is_faster else "openvino", precision, sensitivity, threads)
        except UserError as error:
            # not every chain can be exported; where something else is wrong, PyTorch says so
            made = _make_backend(model, "torch", precision, sensitivity, threads)
            logger.warning("Segmenting with PyTorch, which is slower than OpenVINO: %s", error)
            return made
    # a graph of a network that knows images is given the shift, another has it built in
    if has_points and (name == "torch" or not model.settings.get(KNOWN_KEY)):
        model = replace(model, settings=model.settings | {SENSITIVITY_KEY: sensitivity})
    if name == "torch":
        from bus_monai.inference.backends.torch import TorchBackend

        return TorchBackend(model, precision)
    need_package(BACKEND_PACKAGES[name])
    folder = find_graph(model)
    graph, chain = folder / GRAPH_FILE, Chain.read(folder / CHAIN_FILE).at(sensitivity)
    if name == "onnx":
        from bus_monai.inference.backends.onnx import OnnxBackend

        return OnnxBackend(graph, chain)
    from bus_monai.inference.backends.openvino import Int8Ranges, OpenVinoBackend

    ranges = folder / INT8_FILE
    if name == "openvino-int8" and not ranges.is_file():
        raise UserError(f"The model '{model.name}' comes without eight-bit ranges: use --backend openvino.")
    int8 = Int8Ranges.read(ranges) if name == "openvino-int8" else None
    return OpenVinoBackend(graph, chain, precision, threads, int8)


def graph_name(model: TrainedModel) -> str:
    """Return the name of the folder of a model's graph, another one for whatever may change a prediction."""
    return f"graph-{model_key(model)[:16]}"


def find_graph(model: TrainedModel) -> Path:
    """Return the folder with ``model.onnx`` and ``chain.json`` of a model.

    A bundle may ship it as ``models/graph-KEY``; else it lies in the cache, where it is made if need be.

    Raises:
        UserError: the model cannot be exported, or the cache cannot be written to.
    """
    folders = (_shipped_graph(model), cache_folder() / "graphs" / graph_name(model))
    for folder in folders:
        if (folder / GRAPH_FILE).is_file() and (folder / CHAIN_FILE).is_file():
            return folder
    return _make(model, folders[-1])


def _shipped_graph(model: TrainedModel, file: str = "") -> Path:
    return model.bundle / "models" / graph_name(model) / file


def _make(model: TrainedModel, folder: Path) -> Path:
    from bus_monai.inference.backends.export_graph import export_graph  # needs PyTorch, which segmenting does not

    with writing(folder, option="BUS_MONAI_CACHE"):
        try:
            with whole_folder(folder, last=CHAIN_FILE) as partial:
                export_graph(model, partial)
        except OSError:
            if not (folder / CHAIN_FILE).is_file():  # else another process was faster
                raise
    return folder
