"""Images per second of the networks: as PyTorch runs it, and under the fastest setting that changes nothing.

    python benchmarks/inference.py [--networks rdau cgan] [--settings eager compile] [--rounds 5] [--calls 5]

One image at a time on the processor, in float32, at the size of the README's table. A setting is exact where no
pixel's probability differs by 1e-4 or more from eager PyTorch. The settings take turns, so that a machine whose speed
drifts does not favor one; rates are medians. Weights are random: they change no time.
"""

import argparse
import copy
import importlib.util
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.networks.mutual_generators import MutualGenerators
from bus_monai.networks.segmenters import make_segmenter

Run = Callable[[Tensor], Tensor]
EXACT = 1e-4
DCGAN = {"use_ac": False, "caw": "none", "skip_mode": "none"}
MAMMOGRAM = {"depth": 8, "use_ac": False, "caw": "none", "bottleneck_norm": False}


@dataclass(frozen=True)
class Network:
    title: str
    make: Callable[[], nn.Module]
    size: int = 128
    published: float | None = None


NETWORKS = {
    "rdau": Network("RDAU-NET", lambda: make_segmenter("rdau")),
    "cgan": Network("cGAN+AC+CAW", lambda: make_segmenter("cgan"), published=19.62),
    "dcgan": Network("DCGAN", lambda: make_segmenter("cgan", DCGAN), published=18.27),
    "mammogram": Network("mammogram cGAN", lambda: make_segmenter("cgan", MAMMOGRAM), size=256),
    "unet": Network("U-Net", lambda: make_segmenter("unet"), published=20.33),
    "segnet": Network("SegNet", lambda: make_segmenter("segnet"), published=17.71),
    "erfnet": Network("ERFNet", lambda: make_segmenter("erfnet"), published=78.78),
    "fcn": Network("FCN", lambda: make_segmenter("fcn"), published=35.15),
    "deeplabv3_plus": Network("DeepLabV3+", lambda: make_segmenter("deeplabv3_plus")),
    "lite_unet": Network("`lite_unet`", lambda: make_segmenter("lite_unet"), size=256),
    "multi_encoder": Network("multi-encoder U-Net, model 1", lambda: make_segmenter("multi_encoder"), size=224),
    "multi_encoder_lite": Network(
        "multi-encoder U-Net, model 21", lambda: make_segmenter("multi_encoder", {"model_id": 21}), size=224
    ),
    "assgan": Network("ASSGAN, both on ResNet-18", lambda: MutualGenerators(backbone="resnet18"), size=64),
}
NOTE = """\
Images per second, one at a time; ~ marks a setting that is not exact, - one that does not run here.
Published: Singh et al., Expert Systems with Applications 2020, doi 10.1016/j.eswa.2020.113870, frames per second on the
authors' GPU, which are not comparable with ours; DCGAN, which they do not define, is the preset of cgan_ac_caw."""


def channels_last(net: nn.Module, image: Tensor) -> Run:
    net = copy.deepcopy(net).to(memory_format=torch.channels_last)
    return lambda x: net(x.contiguous(memory_format=torch.channels_last))


def torchscript(net: nn.Module, image: Tensor) -> Run:
    return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(net)))


def compiled(net: nn.Module, image: Tensor) -> Run:
    return torch.compile(net, options={"freezing": True})


def onnx(net: nn.Module, image: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.onnx.export(net, (image,), buffer, input_names=["image"], output_names=["pred"], dynamo=False)
    return buffer.getvalue()


def onnx_runtime(net: nn.Module, image: Tensor) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(onnx(net, image), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"image": x.numpy()})[0])


def open_vino(net: nn.Module, image: Tensor) -> Run:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model = core.compile_model(core.read_model(onnx(net, image)), "CPU", settings)
    return lambda x: torch.from_numpy(model(x.numpy())[0])


SETTINGS: dict[str, Callable[[nn.Module, Tensor], Run]] = {
    "eager": lambda net, image: net,
    "channels_last": channels_last,
    "TorchScript": torchscript,
    "compile": compiled,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": open_vino,
}
MODULES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}


@dataclass(frozen=True)
class Rate:
    images_per_second: float
    difference: float

    @property
    def exact(self) -> bool:
        return self.difference < EXACT


def phantom(size: int) -> Tensor:
    return torch.from_numpy(make_phantom(0, (size, size)).image.astype(np.float32) / 255)[None, None]


def initialize(net: nn.Module) -> nn.Module:
    """Draw weights that keep the size of the signal (He et al., ICCV 2015), so that no inner error dies away."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
    return net.eval()


def difference(ours: Tensor, eager: Tensor) -> float:
    """Return the largest difference of probability, for logits of up to 4."""
    # random weights give logits of any size: near 0 every error would pass, far from it none would be seen
    scale = 4 / eager.abs().max()
    return float(((ours * scale).sigmoid() - (eager * scale).sigmoid()).abs().max())


def compare(
    net: nn.Module, image: Tensor, settings: Mapping[str, Callable[[nn.Module, Tensor], Run]], rounds: int, calls: int,
    bar: tqdm,
) -> dict[str, Rate]:  # fmt: skip
    """Time a network under each setting; those that do not run are left out, with the reason in words."""
    eager = net(image)
    runs: dict[str, Run] = {}
    differences: dict[str, float] = {}
    for name, prepare in settings.items():
        bar.set_postfix_str(f"preparing {name}")
        try:
            run = prepare(net, image)
            # twice, since TorchScript optimizes itself at the second
            outputs = [run(image) for _ in range(2)]
        except Exception as error:  # each back end fails in its own way, such as for want of a compiler
            bar.write(f"{name} does not run: {str(error).splitlines()[0]}", file=sys.stderr)
            bar.update(rounds)
            continue
        runs[name], differences[name] = run, difference(outputs[-1], eager)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            bar.set_postfix_str(name)
            run(image)  # the threads of the one before come to rest
            for _ in range(calls):
                start = time.perf_counter()
                run(image)
                seconds[name].append(time.perf_counter() - start)
            bar.update()
    return {name: Rate(1 / statistics.median(values), differences[name]) for name, values in seconds.items()}


def head(settings: Sequence[str]) -> str:
    """Return the head of a table in Markdown."""
    titles = _row(["network", "pixels", *settings, "fastest exact", "times eager", "published"])
    return f"{titles}\n{_row(['---', *['---:'] * (len(settings) + 1), '---', '---:', '---:'])}"


def row(network: Network, rates: Mapping[str, Rate], settings: Sequence[str]) -> str:
    """Return the row of a network."""
    cells = [_cell(rates[name]) if name in rates else "-" for name in settings]
    best = max((name for name in rates if rates[name].exact), key=lambda name: rates[name].images_per_second)
    ratio = rates[best].images_per_second / rates["eager"].images_per_second
    published = "-" if network.published is None else f"{network.published:.2f}"
    return _row([network.title, f"{network.size}²", *cells, best, f"{ratio:.2f}", published])


def _cell(rate: Rate) -> str:
    return f"{'' if rate.exact else '~'}{rate.images_per_second:.1f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="eager is always among")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each setting")
    parser.add_argument("--calls", type=int, default=5, help="images per turn")
    options = parser.parse_args()
    chosen = [name for name in SETTINGS if name == "eager" or name in options.settings]
    present = {n: SETTINGS[n] for n in chosen if n not in MODULES or importlib.util.find_spec(MODULES[n])}
    print(head(chosen), flush=True)
    with tqdm(total=len(options.networks) * len(present) * options.rounds, unit="turn") as bar, torch.no_grad():
        for network in (NETWORKS[key] for key in options.networks):
            bar.set_description(network.title)
            torch.manual_seed(0)
            torch.compiler.reset()
            net, image = initialize(network.make()), phantom(network.size)
            rates = compare(net, image, present, options.rounds, options.calls, bar)
            bar.write(row(network, rates, chosen))
    print(f"\n{NOTE}\n{torch.get_num_threads()} threads, PyTorch {torch.__version__}.")


if __name__ == "__main__":
    main()
