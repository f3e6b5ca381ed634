from .backend import Backend as Backend
from .chain import Chain as Chain
from .onnx import OnnxBackend as OnnxBackend
from .openvino import OpenVinoBackend as OpenVinoBackend
from .torch import TorchBackend as TorchBackend
from .torch import TorchScriptBackend as TorchScriptBackend
