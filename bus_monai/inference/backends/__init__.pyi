from .backend import Backend as Backend
from .chain import Chain as Chain
from .graph import find_graph as find_graph
from .onnx import OnnxBackend as OnnxBackend
from .openvino import OpenVinoBackend as OpenVinoBackend
from .torch import TorchBackend as TorchBackend
from .torch import TorchScriptBackend as TorchScriptBackend
