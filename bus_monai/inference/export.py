"""Export a model, and measure how far the export is from PyTorch."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from bus_monai.bundle.models import TrainedModel, weights_hash
from bus_monai.bundle.registry import bundle_version
from bus_monai.errors import UserError, check_choice, need_package, writing
from bus_monai.geometry.box import Box
from bus_monai.inference.backends.backend import Backend, Prediction
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.export_graph import chain_of, obstacle, write_onnx, write_torchscript
from bus_monai.inference.backends.torch import TorchBackend
from bus_monai.inference.quantize import ExportImage, export_images, quantize_onnx, quantize_openvino
from bus_monai.io.atomic import private_folder_beside
from bus_monai.io.ours import not_ours
from bus_monai.metrics.segmentation import mask_dice

Segment: TypeAlias = Callable[[NDArray[np.float32]], Prediction]
"""From gray pixels (H, W) in [0, 1] to probabilities (H, W)."""


@dataclass(frozen=True)
class Drift:
    """Differences over several images.

    Args:
        images: how many.
        largest: largest difference of a pixel's probability.
        dice_change: mean of Dice with the exported model minus Dice with PyTorch, masks being cut at 0.5. Where the
            lesions of an image are not known, the mask of PyTorch is the truth, and its Dice 1. Two empty masks have
            a Dice of 1.
    """

    images: int
    largest: float
    dice_change: float

    def __str__(self) -> str:
        return (
            f"largest difference of probability {self.largest:.2g}, mean change of Dice {self.dice_change:+.4f}, "
            f"{self.images} images"
        )


def measure_drift(
    exported: Segment, eager: Segment, images: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]
) -> Drift:
    """Compare two models on images (H, W) with their lesions (H, W) where these are known.

    Raises:
        ValueError: there is no image.
    """
    largest, changes = [], []
    for pixels, truth in images:
        ours, theirs = exported(pixels).probability, eager(pixels).probability
        largest.append(float(np.abs(ours - theirs).max()))
        lesion = theirs >= 0.5 if truth is None else truth
        changes.append(mask_dice(ours >= 0.5, lesion) - mask_dice(theirs >= 0.5, lesion))
    if not changes:
        raise ValueError("There is no image to compare on.")
    return Drift(len(changes), max(largest), float(np.mean(changes)))


class ExportReference:
    """A model as PyTorch computes it in float32, from the images that its graph takes.

    These are the images of files where the chain is resizing alone. Where it has more (filters, a crop around a box)
    they are what the network sees, and ``before`` names the steps that make them.

    Args:
        model: a segmenter.

    Raises:
        UserError: the weights are wrong, or the network sees windows of the image.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._whole = TorchBackend(model, "fp32")
        self.parts = self._whole.parts
        mode = self.parts.settings.get("inferer_mode", "resize")
        if mode != "resize":
            raise UserError(
                f"The model '{model.name}' has inferer_mode={mode}, whose windows no exported graph computes: set "
                "inferer_mode to resize."
            )
        self.prepares = obstacle(self.parts) is not None
        self.chain = Chain(self.parts.size) if self.prepares else chain_of(self.parts)
        steps = self.parts.before.flatten().transforms
        self.before = [type(step).__name__ for step in steps] if self.prepares else []

    def __call__(self, pixels: NDArray[np.float32]) -> Prediction:
        """Return the prediction for an image (H, W) that the graph takes."""
        if not self.prepares:
            return self._whole(pixels)
        with torch.inference_mode():
            image = torch.from_numpy(pixels.copy())[None, None].to(self.parts.device)
            return Prediction(np.asarray(self.parts.network(image)[0, 0].sigmoid().cpu()))

    def read(self, image: ExportImage) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return what the graph takes of an image, and its lesions where they are known and of the same pixels."""
        pixels, truth = image.pixels(), image.truth()
        if not self.prepares:
            return pixels, truth
        item = {"image": MetaTensor(torch.from_numpy(pixels.copy())[None])}
        if truth is not None and truth.any():
            item["box"] = torch.tensor(Box.from_mask(truth).sides)
        return np.asarray(self.parts.before(item)["image"].as_tensor()[0]), None


Format: TypeAlias = Literal["onnx", "openvino", "torchscript"]
FORMAT_SUFFIXES: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".ts"}
FORMAT_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino"), "torchscript": ()}
MAX_DRIFT = 1e-3
"""Greatest difference of probability from PyTorch in float32; what is quantized may differ by any."""


def export_model(
    model: TrainedModel, out: Path, *, format: Format, int8: bool = False, images: Path | None = None
) -> Drift:
    """Write a model and compare it with PyTorch in float32.

    Beside ``out`` lies a ``.json`` of the same stem: what :class:`~bus_monai.inference.backends.chain.Chain` reads,
    the steps to take before, which model it is, and the drift. OpenVINO's ``.xml`` has its ``.bin`` there too. Nothing
    is written unless all is well.

    Args:
        model: a segmenter.
        out: the file.
        format: of the file.
        int8: convolutions compute in eight-bit integers, in ranges calibrated on images.
        images: to calibrate and compare on, see :func:`~bus_monai.inference.quantize.export_images`.

    Returns:
        The differences on the images to compare on.

    Raises:
        UserError: the words do not go together, a package is missing, the weights or images are wrong, the file
            computes something else than PyTorch, or it cannot be written.
    """
    _check(out, format, int8)
    known, unseen = export_images(model, images, calibrate=int8)
    reference = ExportReference(model)
    with writing(out, option="--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        private = private_folder_beside(out)
        try:
            file = private / out.name
            _write(reference, file, format, known if int8 else None)
            exported = open_exported(file, format, reference.chain)
            drift = measure_drift(exported, reference, (reference.read(image) for image in unseen))
            if not int8 and not drift.largest <= MAX_DRIFT:
                raise UserError(
                    f"The model '{model.name}' as {format} differs from PyTorch by {drift.largest:.2g} in probability, "
                    f"more than {MAX_DRIFT:g}: nothing was written; choose another --format."
                )
            record = _record(model, reference, drift, {"format": format, "int8": int8})
            file.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            del exported
            for part in sorted(private.iterdir()):
                part.replace(out.parent / part.name)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    return drift


def open_exported(file: Path, format: Format, chain: Chain) -> Backend:
    """Return what runs an exported file, in float32 but for what is quantized."""
    if format == "onnx":
        from bus_monai.inference.backends.onnx import OnnxBackend

        return OnnxBackend(file, chain)
    if format == "openvino":
        from bus_monai.inference.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(file, chain, "fp32")
    from bus_monai.inference.backends.torch import TorchScriptBackend

    return TorchScriptBackend(file, chain)


def _check(out: Path, format: Format, int8: bool) -> None:
    check_choice("--format", format, get_args(Format))
    if int8 and format == "torchscript":
        raise UserError("--int8 is for onnx and openvino: leave it out, or choose another --format.")
    if out.suffix != FORMAT_SUFFIXES[format]:
        raise UserError(f"--out is '{out}': give {format} a name that ends in {FORMAT_SUFFIXES[format]}.")
    for name in FORMAT_PACKAGES[format]:
        need_package(name)
    if not _is_ours(out.with_suffix(".json")):
        for path in (out.with_suffix(".json"), out, out.with_suffix(".bin")):
            if os.path.lexists(path) and (path.suffix != ".bin" or format == "openvino"):
                raise not_ours(path, "--out")


def _is_ours(record: Path) -> bool:
    """Tell whether a file is the record of an earlier export."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"bundle", "weights_sha256", "drift"} <= found.keys()


def _write(reference: ExportReference, file: Path, format: Format, known: Sequence[ExportImage] | None) -> None:
    """Write the file, quantized where there are images to calibrate on."""
    network, chain = reference.parts.network, reference.chain
    if format == "torchscript":
        write_torchscript(network, chain, file)
        return
    graph = file.with_name("float.onnx")
    write_onnx(network, chain, graph)
    inputs = None if known is None else [chain.inputs(reference.read(image)[0]) for image in known]
    if format == "openvino":
        import openvino

        # not by convert_model, which reports its use to OpenVINO's makers
        converted: Any = openvino.Core().read_model(graph)
        if inputs is not None:
            converted = quantize_openvino(converted, inputs)
        try:
            openvino.save_model(converted, file, compress_to_fp16=False)
        except RuntimeError as error:  # of a stream; in its own words, which name neither file nor reason
            raise OSError(errno.EIO, "not all of it could be written", str(file)) from error
        graph.unlink()
    elif inputs is not None:
        quantize_onnx(graph, file, inputs)
        graph.unlink()
    else:
        graph.replace(file)


def _record(model: TrainedModel, reference: ExportReference, drift: Drift, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        **reference.chain.to_dict(),
        "before": reference.before,
        "bundle": model.bundle.name,
        "version": bundle_version(model.bundle),
        "weights_sha256": weights_hash(model),
        **settings,
        "drift": asdict(drift),
    }
