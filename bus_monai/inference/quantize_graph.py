"""Exported graphs in eight-bit integers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bus_monai.need_package import need_package

Inputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Inputs of a graph by name."""


def quantize_onnx(graph: Path, out: Path, calibration: Sequence[Inputs]) -> None:
    """Write an ONNX graph whose convolutions compute in int8, by ONNX Runtime's static quantisation.

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
    """Return an OpenVINO model quantised to int8 by NNCF; matrix products, which resize, stay as they are.

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
