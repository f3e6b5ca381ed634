"""A trained segmenter as a file for other runtimes."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from bus_monai.choices import check_choice
from bus_monai.data.whole_folder import private_folder_beside
from bus_monai.errors import UserError
from bus_monai.inference.backends.backend import Backend
from bus_monai.inference.backends.chain import Chain
from bus_monai.inference.backends.export_graph import write_onnx, write_torchscript
from bus_monai.inference.export_drift import Drift, measure_drift
from bus_monai.inference.export_images import ExportImage, export_images
from bus_monai.inference.export_reference import ExportReference
from bus_monai.inference.model_key import weights_hash
from bus_monai.inference.models import TrainedModel
from bus_monai.inference.quantize_graph import quantize_onnx, quantize_openvino
from bus_monai.need_package import need_package
from bus_monai.registry import bundle_version

Format: TypeAlias = Literal["onnx", "openvino", "torchscript"]
ENDINGS: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".ts"}
MODULES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino"), "torchscript": ()}
TOLERANCE = 1e-3
"""Greatest difference of probability from PyTorch in float32; what is quantised may differ by any."""


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
        images: to calibrate and compare on, see :func:`~bus_monai.inference.export_images.export_images`.

    Returns:
        The differences on the images to compare on.

    Raises:
        UserError: the words do not go together, a package is missing, the weights or images are wrong, the file
            computes something else than PyTorch, or it cannot be written.
    """
    _check(out, format, int8)
    known, unseen = export_images(model, images, calibrate=int8)
    reference = ExportReference(model)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        private = private_folder_beside(out)
        try:
            file = private / out.name
            _write(reference, file, format, known if int8 else None)
            exported = open_exported(file, format, reference.chain)
            drift = measure_drift(exported, reference, (reference.read(image) for image in unseen))
            if not int8 and not drift.largest <= TOLERANCE:
                raise UserError(
                    f"The model '{model.name}' as {format} differs from PyTorch by {drift.largest:.2g} in probability, "
                    f"more than {TOLERANCE:g}: nothing was written; choose another --format."
                )
            record = _record(model, reference, drift, {"format": format, "int8": int8})
            file.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            del exported
            for part in sorted(private.iterdir()):
                part.replace(out.parent / part.name)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"Cannot write '{out}' ({error.strerror}): free space, mend its permissions or give another --out."
        ) from error
    return drift


def open_exported(file: Path, format: Format, chain: Chain) -> Backend:
    """Return what runs an exported file, in float32 but for what is quantised."""
    if format == "onnx":
        from bus_monai.inference.backends.onnx_backend import OnnxBackend

        return OnnxBackend(file, chain)
    if format == "openvino":
        from bus_monai.inference.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(file, chain, "fp32")
    from bus_monai.inference.backends.torchscript_backend import TorchScriptBackend

    return TorchScriptBackend(file, chain)


def _check(out: Path, format: Format, int8: bool) -> None:
    check_choice("--format", format, get_args(Format))
    if int8 and format == "torchscript":
        raise UserError("--int8 is for onnx and openvino: leave it out, or choose another --format.")
    if out.suffix != ENDINGS[format]:
        raise UserError(f"--out is '{out}': give {format} a name that ends in {ENDINGS[format]}.")
    for name in MODULES[format]:
        need_package(name)


def _write(reference: ExportReference, file: Path, format: Format, known: Sequence[ExportImage] | None) -> None:
    """Write the file, quantised where there are images to calibrate on."""
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
        **asdict(reference.chain),
        "before": reference.before,
        "bundle": model.bundle.name,
        "version": bundle_version(model.bundle),
        "weights_sha256": weights_hash(model),
        **settings,
        "drift": asdict(drift),
    }
