"""A trained model of a bundle: weights, settings, and a key made of their content."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_monai import __version__
from bus_monai.bundle.registry import TRAINED_FILE, find_bundle, output_format, weights_file
from bus_monai.bundle.settings import read_config, read_settings
from bus_monai.errors import UserError

_SPEC = re.compile(r"(?:(?P<name>[\w.-]+)=)?(?P<bundle>\w+)(?::(?P<weights>.+))?")


@dataclass(frozen=True)
class TrainedModel:
    """A bundle with weights.

    Args:
        name: what tables call it.
        bundle: folder of the bundle.
        weights: a file, several joined by commas (an ensemble), or ``None`` for the bundle's own: ``models/model.pt``,
            else ``models/model.safetensors``.
        settings: keys of the config that it was trained with, as far as they are known.
    """

    name: str
    bundle: Path
    weights: str | None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """The files of its weights."""
        return _files(self.bundle, self.weights)

    def overrides(self, config: str) -> dict[str, Any]:
        """Return what to set in ``config`` (such as ``evaluate.json``) of the bundle so that it is this model."""
        content = read_config(self.bundle / "configs" / config)
        keys = content.keys() | content["settings"].keys()
        known = {key: value for key, value in self.settings.items() if key in keys}
        return known | ({"ckpt_path": self.weights} if self.weights else {})


def parse_models(specs: Sequence[str], *, segmenters: bool = False) -> list[TrainedModel]:
    """Read ``BUNDLE``, ``BUNDLE:WEIGHTS`` or ``NAME=BUNDLE:WEIGHTS``; names are made unique by the weights' folders.

    Raises:
        UserError: a text of another form, an unknown bundle or one that is no segmenter, weights that do not exist, or
            a name that comes twice.
    """
    models = [_parse(spec, segmenters) for spec in specs]
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"Two models are called '{twice}': name them, as in 'first={twice}:runs/a/model.pt'.")
    return models


def _parse(spec: str, segmenters: bool) -> TrainedModel:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise UserError(f"'{spec}' names no model: write BUNDLE, BUNDLE:WEIGHTS or NAME=BUNDLE:WEIGHTS.")
    bundle, weights = find_bundle(match["bundle"]), match["weights"]
    if segmenters and output_format(bundle) != "segmentation":
        raise UserError(
            f"The bundle '{bundle.name}' gives no masks, which this command works on: evaluate it with its own "
            "configs/evaluate.json, see its docs/README.md."
        )
    files = _check_files(bundle, weights, spec)
    name = match["name"] or (files[0].resolve().parent.name if weights else match["bundle"])
    return TrainedModel(name, bundle, weights, read_settings(files[0]))


def find_model(path_or_name: str | Path, weights: str | None = None) -> TrainedModel:
    """Return the segmenter of a bundle of the package, by name, or of the folder of one, whose configs may run code.

    Args:
        path_or_name: of the bundle.
        weights: a file, several joined by commas (an ensemble), or ``None`` for the bundle's own.

    Raises:
        UserError: there is no such bundle, it is no segmenter, or weights do not exist.
    """
    if isinstance(path_or_name, Path) or "/" in path_or_name:
        return model_of_folder(Path(path_or_name), weights)
    (model,) = parse_models([path_or_name if weights is None else f"{path_or_name}:{weights}"], segmenters=True)
    return model


def model_of_folder(bundle: Path, weights: str | None = None) -> TrainedModel:
    """Return the model of a bundle that lies in any folder, whose configs may run code.

    Raises:
        UserError: the folder holds no bundle, or weights do not exist.
    """
    if not (bundle / "configs" / "metadata.json").is_file():
        raise UserError(f"'{bundle}' holds no bundle: give a folder with configs/metadata.json.")
    files = _check_files(bundle, weights, str(bundle))
    return TrainedModel(bundle.name, bundle, weights, read_settings(files[0]))


def _files(bundle: Path, weights: str | None) -> list[Path]:
    paths = [Path(part) for part in weights.split(",")] if weights else [bundle / "models" / TRAINED_FILE]
    return [weights_file(path) for path in paths]


def _check_files(bundle: Path, weights: str | None, spec: str) -> list[Path]:
    files = _files(bundle, weights)
    for file in files:
        if not file.is_file():
            raise UserError(f"The weights '{file}' of '{spec}' do not exist: train first, or give another file.")
    return files


KEYED_CONFIGS = ("inference.json", "metadata.json")
SETTLED_NS = 2_000_000_000
"""Age in nanoseconds from which a file's times tell it from its next version; file systems count in steps."""
_known: dict[tuple[str | int, ...], str] = {}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits; one that did not change is not read again.

    Args:
        path: of a file of weights.

    Raises:
        OSError: it cannot be read.
    """
    stat = path.stat()
    signature = (str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if signature not in _known:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < SETTLED_NS:
            return digest
        _known[signature] = digest
    return _known[signature]


def weights_hashes(model: TrainedModel) -> list[str]:
    """Return the SHA-256 of each file of weights."""
    return [file_hash(file) for file in model.files]


def weights_hash(model: TrainedModel) -> str:
    """Return the SHA-256 of the file of weights; of several, that of their hashes in order."""
    digests = weights_hashes(model)
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def model_key(model: TrainedModel) -> str:
    """Return a hash that changes with anything that may change a prediction."""
    configs = [(model.bundle / "configs" / name).read_text(encoding="utf-8") for name in KEYED_CONFIGS]
    parts = [__version__, weights_hash(model), model.settings, configs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
