"""A network as ONNX Runtime runs it."""

from __future__ import annotations

import io
from collections.abc import Callable

import onnxruntime
import torch
from torch import Tensor, nn


def onnx_session(net: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    """Export a network with batch, height and width left free, and return what runs it on one thread."""
    buffer = io.BytesIO()
    torch.onnx.export(
        net,
        (example,),
        buffer,
        input_names=["image"],
        output_names=["pred"],
        dynamic_axes={name: {0: "batch", 2: "height", 3: "width"} for name in ("image", "pred")},
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
