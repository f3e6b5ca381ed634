"""Quantize an exported model to eight bits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import input_modality
from bus_monai.data.datalist import Case
from bus_monai.data.dataset import default_dataset_dir, default_mammogram_dir
from bus_monai.data.items import inference_items, training_split
from bus_monai.errors import UserError, need_package
from bus_monai.inference.backends.chain import Chain
from bus_monai.io.image import read_masks
from bus_monai.sources.read import read_source

if TYPE_CHECKING:
    from bus_monai.inference.backends.openvino import Int8Ranges

MAX_IMAGES = 64
"""Images of each of the two kinds, taken evenly from what there is."""


@dataclass(frozen=True)
class ExportImage:
    """An image.

    Args:
        source: its file.
        frame: number of the frame, from 0.
        masks: of its lesions; ``None`` where they are not known.
    """

    source: Path
    frame: int = 0
    masks: tuple[Path, ...] | None = None

    def pixels(self) -> NDArray[np.float32]:
        """Read the gray values (H, W) in [0, 1]."""
        return read_source(self.source, self.frame).pixels

    def truth(self) -> NDArray[np.bool_] | None:
        """Read the lesions (H, W), all masks in one; ``None`` where they are not known."""
        if self.masks is None:
            return None
        return read_masks(self.masks, self.pixels().shape)


def export_images(
    model: TrainedModel, source: Path | None, *, calibrate: bool
) -> tuple[list[ExportImage], list[ExportImage]]:
    """Return the images to calibrate on and those to compare on, none in both.

    Of a data set these are the sections ``training`` and ``test``; of other images, and of a data set of which none is
    held out, every second, where some are to calibrate on.

    Args:
        model: decides on the split of a data set that has none, as in its training.
        source: an image, a folder of images or a data set; ``None`` for phantoms.
        calibrate: whether any are to calibrate on.

    Raises:
        UserError: there are not enough images.
    """
    if source is None:
        source = Path(default_mammogram_dir() if input_modality(model.bundle) == "MG" else default_dataset_dir())
    datalist = training_split(source, model.settings)
    if datalist is None:
        images = [ExportImage(Path(item["source"]), item["frame"]) for item in inference_items(source, "")]
    elif datalist.training and datalist.test:
        known = datalist.training if calibrate else ()
        return _some([_of(case) for case in known]), _some([_of(case) for case in datalist.test])
    else:
        images = [_of(case) for name, cases in datalist.sections() if name != "unlabeled" for case in cases]
    if not calibrate:
        return [], _some(images)
    if len(images) < 2:
        raise UserError(f"'{source}' holds one image: give at least two, one to calibrate on and one to compare on.")
    return _some(images[::2]), _some(images[1::2])


def _of(case: Case) -> ExportImage:
    return ExportImage(case.image, 0, case.masks)


def _some(images: Sequence[ExportImage]) -> list[ExportImage]:
    step = max(len(images) / MAX_IMAGES, 1)
    return [images[int(i * step)] for i in range(min(len(images), MAX_IMAGES))]


Inputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Inputs of a graph by name."""


def quantize_onnx(graph: Path, out: Path, calibration: Sequence[Inputs]) -> None:
    """Write an ONNX graph whose convolutions compute in int8, by ONNX Runtime's static quantization.

    Ranges are the extremes over the calibration inputs; weights have a scale a channel. All else stays in float32: the
    matrix products above all, which resize the image and its map.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._inputs: Iterator[Inputs] = iter(calibration)

        def get_next(self) -> Inputs | None:
            return next(self._inputs, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / graph.name
        # biases that the exporter has joined would stay in floating point
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(out), Reader(), op_types_to_quantize=["Conv"], per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip


def quantize_openvino(model: Any, calibration: Sequence[Inputs]) -> Any:
    """Return an OpenVINO model quantized to int8 by NNCF; matrix products, which resize, stay as they are.

    Raises:
        UserError: NNCF is not installed.
    """
    need_package("nncf")
    # asked when it is imported: whether it reports its use to its makers
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset(calibration),
        subset_size=len(calibration),
        ignored_scope=nncf.IgnoredScope(types=["MatMul"], validate=False),
    )


FLOAT_LAYERS = frozenset({"/encoder/stem/conv/Conv", "/encoder/blocks.0/depthwise/conv/Conv"})
"""Of EfficientNet-Lite0, which stay in floats: what the stem finds has one range for strong and weak channels, and the
filters behind it enlarge the error. With the latter in eight bits ``lite_unet`` lost 0.0115 of Dice on BUS-UCLM."""


def calibrate_int8(graph: Path, chain: Chain, images: Iterable[NDArray[np.float32]]) -> Int8Ranges:
    """Return the ranges in which OpenVINO computes an exported graph in eight bits.

    They are the extremes over the images and their mirror images: narrower ones cost more at the gate of ``lite_unet``,
    which sums up all of the deepest features, than they win elsewhere.

    Args:
        graph: the ONNX file.
        chain: what surrounds its network.
        images: (H, W) gray values in [0, 1], black where they show no ultrasound.
    """
    import openvino
    from openvino import opset8 as ops

    from bus_monai.inference.backends.openvino import (
        FLOAT32_HINT,
        Int8Ranges,
        convolutions,
        given_to,
        network_alone,
        quantize,
    )  # fmt: skip

    core = openvino.Core()
    seen = [turned for image in map(chain.shrink, images) for turned in (image, np.ascontiguousarray(image[:, ::-1]))]

    def run(model: Any) -> list[list[float]]:
        compiled = core.compile_model(model, "CPU", FLOAT32_HINT)
        found = (compiled({"seen": image, **chain.shift()}) for image in seen)
        return [[float(value.ravel()[0]) for value in values.values()] for values in found]

    model = network_alone(core.read_model(graph), chain)
    layers = [node for node in convolutions(model) if node.get_friendly_name() not in FLOAT_LAYERS]
    names, given = (
        [node.get_friendly_name() for node in layers],
        [given_to(node).get_source_output() for node in layers],
    )
    ends = [ops.result(reduced(value, [0, 1, 2, 3])) for reduced in (ops.reduce_min, ops.reduce_max) for value in given]
    distances = model.get_results()[1:]
    found = np.array(run(openvino.Model([*ends, *distances], model.get_parameters(), "ends")))
    lows, highs = found[:, : len(names)].min(0).tolist(), found[:, len(names) : 2 * len(names)].max(0).tolist()
    ranges = dict(zip(names, zip(lows, highs, strict=True), strict=True))
    if not distances:
        return Int8Ranges(ranges)
    model = network_alone(core.read_model(graph), chain)
    quantize(model, ranges)
    rounded = np.array(run(openvino.Model(model.get_results()[1:], model.get_parameters(), "distance")))
    return Int8Ranges(ranges, round(float(np.mean(rounded[:, 0] - found[:, -1])), 4))
