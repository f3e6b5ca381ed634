"""Segmenters as models of MLflow: weights and settings, with neither code nor pickles, loaded by ``mlflow.pyfunc``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import ArrayLike, NDArray

from bus_monai import __version__
from bus_monai.bundle.models import find_model
from bus_monai.bundle.settings import SETTINGS_FILE
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.inference.predictor import Predictor

EXAMPLE_SIZE = (64, 64)
IMAGES = TensorSpec(np.dtype(np.float32), (-1, -1, -1))
"""Images, and maps of probabilities: (N, H, W) in [0, 1]."""


class MLflowSegmenter:
    """What ``mlflow.pyfunc.load_model`` asks for predictions.

    Args:
        predictor: of the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, images: ArrayLike, params: Mapping[str, Any] | None = None) -> NDArray[np.float32]:
        """Return the probability of lesion (N, H, W) of gray images (N, H, W), all in [0, 1]."""
        return np.stack([self.predictor.predict(image) for image in np.asarray(images, dtype=np.float32)])


def save_mlflow_model(bundle: Path, weights: Path, folder: Path) -> None:
    """Write a segmenter in MLflow's format, with its signature and a phantom as example.

    Its folder ``data`` holds another one called like the bundle, with weights and settings: what is loaded is the
    bundle of that name that is installed, and never anything that the model brings.

    Args:
        bundle: folder of the bundle.
        weights: file, beside which the settings lie.
        folder: to make.
    """
    with tempfile.TemporaryDirectory() as data:
        inner = Path(data) / bundle.name
        inner.mkdir()
        for file in (weights, weights.with_name(SETTINGS_FILE)):
            shutil.copy(file, inner)
        mlflow.pyfunc.save_model(
            folder,
            loader_module=__name__,
            data_path=str(inner),
            signature=ModelSignature(inputs=Schema([IMAGES]), outputs=Schema([IMAGES])),
            input_example=np.float32(make_phantom(0, EXAMPLE_SIZE).image[None] / 255).round(3),
            # asked for what it needs MLflow would load the model in another process, for a minute
            pip_requirements=[f"bus_monai=={__version__}"],
        )


def _load_pyfunc(data: str) -> MLflowSegmenter:
    """Load what :func:`save_mlflow_model` wrote; MLflow calls it by this name."""
    inner = Path(data)
    (weights,) = (path for path in inner.iterdir() if path.name != SETTINGS_FILE)
    return MLflowSegmenter(Predictor(find_model(inner.name, str(weights)), backend="torch", precision="fp32"))
