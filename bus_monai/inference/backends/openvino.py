"""An exported graph as OpenVINO runs it, in eight bits too. Imports neither torch nor MONAI."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset8 as ops

from bus_monai.errors import UserError, reading
from bus_monai.geometry.box import Region
from bus_monai.inference.backends.backend import Precision, Prediction, wanted_threads
from bus_monai.inference.backends.chain import Chain, resize_matrix
from bus_monai.io.atomic import cache_folder, whole_folder

FLOAT32_HINT = {"INFERENCE_PRECISION_HINT": "f32"}
CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})
COMPILED_FILE, DIGEST_BYTES = "model.blob", 32
LEVELS, WEIGHT_LEVELS = 256, 255
"""Of a value and of a weight in eight bits; weights leave one out, so that they are as many below 0 as above."""


@dataclass(frozen=True)
class Int8Ranges:
    """What turns a graph into one that computes in eight bits.

    Args:
        ranges: least and greatest value that each convolution is given, by its name in the graph; what is not named
            stays as it is.
        distance: by how much the graph in eight bits tells an image farther from known ones, as a mean.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    distance: float = 0.0

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        content = {"ranges": {name: list(ends) for name, ends in self.ranges.items()}, "distance": self.distance}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Int8Ranges:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: the file is broken, or says something else.
        """
        with reading(path, "JSON", errors=(ValueError, TypeError, KeyError), remedy="install the bundle again"):
            content = json.loads(path.read_text(encoding="utf-8"))
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in content["ranges"].items()}
            return cls(ranges, float(content["distance"]))


class OpenVinoBackend:
    """Run a graph of :func:`~bus_monai.inference.backends.export_graph.write_onnx`, or OpenVINO's form of it.

    Threads may call it at once; the network itself takes one image after the other, on all cores. OpenVINO is given
    the network alone: images and maps are resized around it, where most of the matrices' zeros are not multiplied.

    Args:
        graph: the ONNX file, or the ``.xml`` that lies beside its ``.bin``.
        chain: what surrounds its network.
        precision: ``fp32``, or ``fast``, which is what OpenVINO takes for the processor where it
            can run that.
        threads: of the network; 0 for what ``OMP_NUM_THREADS`` says, or all cores.
        int8: compute in eight bits in these ranges, and what they do not name as above.

    Raises:
        UserError: OpenVINO refuses the graph, or finds no code for it on this processor.
    """

    def __init__(
        self,
        graph: Path,
        chain: Chain,
        precision: Precision = "fast",
        threads: int = 0,
        int8: Int8Ranges | None = None,
    ) -> None:
        self.name = "openvino" if int8 is None else "openvino-int8"
        self.chain = chain
        self._more_distance = 0.0 if int8 is None else int8.distance
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_NUM_THREADS"] = threads or wanted_threads()
        settings["ENABLE_CPU_PINNING"] = False  # else the networks of all processes take the first core
        if precision == "fp32":
            settings |= FLOAT32_HINT
        try:
            self._model = _compile(graph, chain, int8, settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].partition(". ")[0]
            raise UserError(f"OpenVINO cannot run '{graph}' here ({reason}): use --backend torch.") from error
        # requests of several threads at once have been seen to wait for each other for ever
        self._turn = Lock()

    def __call__(self, pixels: NDArray[np.float32], regions: Sequence[Region] | None = None) -> Prediction:
        """Segment a screen, see :class:`~bus_monai.inference.backends.backend.Backend`."""
        return self.chain.segment(pixels, regions, self._run)

    def _run(self, image: NDArray[np.float32]) -> Prediction:
        inputs = {"seen": self.chain.shrink(image), **self.chain.shift()}
        with self._turn:
            probability, *distance = self._model(inputs).values()
            # a copy: the result lies in memory of the one request, which the next image overwrites
            found, distances = probability.copy(), [float(value[0]) - self._more_distance for value in distance]
        return Prediction(self.chain.enlarge(found, image.shape), *distances)


def _compile(graph: Path, chain: Chain, int8: Int8Ranges | None, settings: Mapping[str, Any]) -> Any:
    core = openvino.Core()
    try:
        return _compiled(core, graph, chain, int8, settings)
    except RuntimeError:
        # it takes bfloat16 where the processor has it, also where ONEDNN_MAX_CPU_ISA keeps its kernels from using it
        return _compiled(core, graph, chain, int8, {**settings, **FLOAT32_HINT})


def _compiled(core: Any, graph: Path, chain: Chain, int8: Int8Ranges | None, settings: Mapping[str, Any]) -> Any:
    """Return what was compiled for this processor before, a quarter of the work; else compile it, and keep it."""
    processor = [str(core.get_property("CPU", name)) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    parts = [openvino.__version__, processor, os.environ.get("ONEDNN_MAX_CPU_ISA"), repr(chain), repr(int8), settings]
    key = hashlib.sha256(json.dumps(parts).encode())
    key.update(graph.read_bytes())
    kept = cache_folder() / "compiled" / key.hexdigest()[:16] / COMPILED_FILE
    with suppress(OSError, RuntimeError):
        content = kept.read_bytes()
        # OpenVINO trusts what it imports: it must be what was written, whatever became of the disk
        if hashlib.sha256(content[DIGEST_BYTES:]).digest() == content[:DIGEST_BYTES]:
            return core.import_model(BytesIO(content[DIGEST_BYTES:]), "CPU", dict(settings))
    model = network_alone(core.read_model(graph), chain)
    if int8 is not None:
        quantize(model, int8.ranges)
    compiled = core.compile_model(model, "CPU", dict(settings))
    with suppress(OSError, RuntimeError):  # without it, the next process compiles it too
        exported = compiled.export_model().getvalue()
        with whole_folder(kept.parent, last=kept.name) as partial:
            (partial / kept.name).write_bytes(hashlib.sha256(exported).digest() + exported)
    return compiled


def network_alone(model: Any, chain: Chain) -> Any:
    """Return what an exported graph computes between the matrices that resize: from ``seen`` (h, w) to the map (h, w).

    Args:
        model: of OpenVINO, as it was read.
        chain: what surrounds its network.
    """
    inputs = {value.get_any_name(): value.get_node() for value in model.inputs}
    seen = ops.parameter(list(chain.size), np.float32, name="seen")
    seen.output(0).set_names({"seen"})
    _replace(_only_user(_only_user(inputs["rows"])), seen)
    enlarged, *more = (result.input_value(0) for result in model.get_results())
    map_ = enlarged.get_node().input_value(0).get_node().input_value(1)
    kept = [inputs["shift"]] if "shift" in inputs else []
    alone = openvino.Model([ops.result(value) for value in (map_, *more)], [seen, *kept], "network")
    for node in alone.get_ordered_ops():
        if _enlarges_one_map(node):
            _replace(node, _enlarged(node.input_value(0), node.output(0).shape))
    return alone


def _only_user(node: Any) -> Any:
    (user,) = node.output(0).get_target_inputs()
    return user.get_node()


def _replace(node: Any, other: Any) -> None:
    for user in node.output(0).get_target_inputs():
        user.replace_source_output(other.output(0))


def _enlarges_one_map(node: Any) -> bool:
    """Whether a node interpolates a single map as matrices do, which take a tenth of its time."""
    if node.get_type_name() != "Interpolate" or list(node.input_value(0).shape)[:2] != [1, 1]:
        return False
    how = node.get_attributes()
    return (how["mode"], how["coordinate_transformation_mode"]) == ("linear_onnx", "half_pixel")


def _enlarged(value: Any, shape: Sequence[int]) -> Any:
    (h, w), (height, width) = list(value.shape)[2:], list(shape)[2:]
    rows = ops.constant(resize_matrix(h, height, anti_aliasing=False))
    columns = ops.constant(resize_matrix(w, width, anti_aliasing=False))
    return ops.matmul(ops.matmul(rows, value, False, False), columns, False, True)


def quantize(model: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Let convolutions compute in eight bits: each value in its range, each channel's weights in their own.

    Args:
        model: of :func:`network_alone`, which is changed.
        ranges: see :class:`Int8Ranges`.
    """
    rounded: dict[tuple[str, int], Any] = {}
    for node in convolutions(model):
        name = node.get_friendly_name()
        if name not in ranges:
            continue
        place = given_to(node)
        value = place.get_source_output()
        key = value.get_node().get_friendly_name(), value.get_index()
        if key not in rounded:
            rounded[key] = _rounded(value, *_with_zero(*ranges[name]), LEVELS).output(0)
        place.replace_source_output(rounded[key])
        node.input(1).replace_source_output(_rounded_weights(node.input_value(1)).output(0))


def convolutions(model: Any) -> list[Any]:
    """Return the convolutions of a model, in the order in which they are computed."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]


def given_to(node: Any) -> Any:
    """Return the place where a convolution, or the padding before it, is given its values."""
    before = node.input_value(0).get_node()
    return (before if before.get_type_name() == "Pad" else node).input(0)


def _with_zero(low: float, high: float) -> tuple[float, float]:
    """Return a range that holds 0 exactly, which is what borders are padded with."""
    low, high = min(low, 0.0), max(high, 1e-6)
    step = (high - low) / (LEVELS - 1)
    below = round(-low / step)
    return -below * step, (LEVELS - 1 - below) * step


def _rounded(value: Any, low: Any, high: Any, levels: int) -> Any:
    ends = [ops.constant(np.asarray(end, np.float32)) for end in (low, high)]
    return ops.fake_quantize(value, *ends, *ends, levels)


def _rounded_weights(value: Any) -> Any:
    weights = _constant(value)
    # of a depthwise one OpenVINO wants a channel's weights in one row: else it computes it in floats
    flat = weights.reshape(-1, *weights.shape[-3:])
    most = np.maximum(np.abs(flat).max((1, 2, 3), keepdims=True), 1e-8)
    rounded = _rounded(ops.constant(flat), -most, most, WEIGHT_LEVELS)
    return rounded if weights.ndim == flat.ndim else ops.reshape(rounded, ops.constant(np.array(weights.shape)), False)


def _constant(value: Any) -> NDArray[np.float32]:
    """Return the values of weights, which the graph stores in half precision or in another shape."""
    node = value.get_node()
    if node.get_type_name() == "Constant":
        return np.asarray(node.data, np.float32)
    return _constant(node.input_value(0)).reshape([int(side) for side in value.shape])
