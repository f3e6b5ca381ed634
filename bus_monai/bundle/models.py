"""A trained model of a bundle: weights, settings, and a key made of their content."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus_monai import __version__
from bus_monai.bundle.declared import check_settings
from bus_monai.bundle.registry import (
    INFERENCE_CONFIG,
    TRAINED_FILE,
    find_bundle,
    list_bundles,
    named_weights,
    output_format,
    weights_file,
)
from bus_monai.bundle.settings import SETTINGS_FILE, path_text, read_config, read_settings
from bus_monai.errors import UserError
from bus_monai.io.atomic import cache_folder, whole_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

_SPEC = re.compile(r"(?:(?P<name>[\w.-]+)=)?(?P<bundle>\w+|[^:]*/[^:]*)(?::(?P<weights>.+))?")
REGISTERED = "models:/"
"""How a model of MLflow's registry is named."""
BUNDLE_TAG = "bundle"
"""Tag of a version in the registry: the bundle whose weights it holds."""
_REGISTERED_SPEC = re.compile(r"models:/(?P<name>[^/@:]+)(?:/(?P<version>\d+)|@(?P<alias>[\w.-]+))")
FETCHED_FILE = "fetched"
"""In the folder of such a model, once it is there whole."""
KEYED_CONFIGS = (INFERENCE_CONFIG, "metadata.json")
SETTLED_NS = 2_000_000_000
"""Age in nanoseconds from which a file's times tell it from its next version; file systems count in steps."""
_known: dict[tuple[str | int, ...], str] = {}


@dataclass(frozen=True)
class TrainedModel:
    """A bundle with weights.

    Args:
        name: what tables call it.
        bundle: folder of the bundle.
        weights: a file, the name of one that comes with the bundle, several joined by commas (an ensemble), or ``None``
            for the bundle's own: ``models/model.pt``, else ``models/model.safetensors``.
        settings: keys of the config that it was trained with, as far as they are known.

    Raises:
        UserError: the settings are not plain data of the names, types and ranges that the bundle declares.
    """

    name: str
    bundle: Path
    weights: str | None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # here, so that none reaches MONAI's parser on whatever way
        if self.settings:
            check_settings(self.settings, self.bundle, f"What comes with '{self.files[0]}'")

    @property
    def title(self) -> str:
        """What results call it: the bundle's name, and that of weights which come beside the bundle's own."""
        beside = self.weights if self.weights in named_weights(self.bundle) else None
        return f"{self.bundle.name}:{beside}" if beside else self.bundle.name

    @property
    def files(self) -> list[Path]:
        """The files of its weights."""
        return _files(self.bundle, self.weights)

    def overrides(self, config: str) -> dict[str, Any]:
        """Return what to set in ``config`` (such as ``evaluate.json``) of the bundle so that it is this model."""
        known = known_in(self.settings, self.bundle / "configs" / config)
        return known | ({"ckpt_path": ",".join(map(path_text, self.files))} if self.weights else {})


def known_in(settings: Mapping[str, Any], config: Path) -> dict[str, Any]:
    """Return the settings that a config has, in its group ``settings`` or beside it."""
    content = read_config(config)
    keys = content.keys() | content["settings"].keys()
    return {key: value for key, value in settings.items() if key in keys}


def parse_models(specs: Sequence[str], *, segmenters: bool = False, trust: bool = False) -> list[TrainedModel]:
    """Read ``BUNDLE``, ``BUNDLE:WEIGHTS`` or ``NAME=BUNDLE:WEIGHTS``; names are made unique by the weights' folders.

    ``models:/NAME/VERSION`` and ``models:/NAME@ALIAS`` are what :func:`register_model` wrote to MLflow's registry.

    Args:
        specs: of each model; ``BUNDLE`` is a name, or a path, in which there is a ``/``.
        segmenters: whether all must be.
        trust: see :func:`~bus_monai.bundle.registry.find_bundle`.

    Raises:
        UserError: a text of another form, an unknown bundle, one that is not trusted or no segmenter, weights that do
            not exist or whose settings are wrong, or a name that comes twice.
    """
    models = [_parse(spec, segmenters, trust) for spec in specs]
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"Two models are called '{twice}': name them, as in 'first={twice}:runs/a/model.pt'.")
    return models


def _parse(spec: str, segmenters: bool, trust: bool) -> TrainedModel:
    if spec.startswith(REGISTERED):
        bundle, weights, name = _registered(spec)
        return _model(find_bundle(bundle, trust=trust), str(weights), spec, segmenters, name)
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise UserError(f"'{spec}' names no model: write BUNDLE, BUNDLE:WEIGHTS or NAME=BUNDLE:WEIGHTS.")
    return _model(find_bundle(match["bundle"], trust=trust), match["weights"], spec, segmenters, match["name"])


def register_model(model: TrainedModel, name: str) -> int:
    """Write weights and settings of a model to MLflow's registry (``MLFLOW_TRACKING_URI``); return the new version.

    Args:
        model: of one file of weights, of a bundle of the package.
        name: in the registry; made where missing.

    Raises:
        UserError: the registry cannot be reached, or the model is an ensemble.
    """
    if len(model.files) != 1:
        raise UserError(f"'{model.name}' is an ensemble, and a version holds one file: register each.", key="model")
    (weights,) = model.files
    with _registry() as client:
        run = client.create_run(_experiment(client, name)).info.run_id
        for path in (weights, weights.parent / SETTINGS_FILE):
            if path.is_file() and (path == weights or weights.suffix != ".safetensors"):
                client.log_artifact(run, str(path), "model")
        client.set_terminated(run)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        tags = {BUNDLE_TAG: model.bundle.name}
        return int(client.create_model_version(name, f"runs:/{run}/model", run, tags=tags).version)


def _experiment(client: Any, name: str) -> str:
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known else client.create_experiment(name))


def _registered(spec: str) -> tuple[str, Path, str]:
    """Return the bundle of a version in the registry, its weights, fetched once, and what tables call it."""
    match = _REGISTERED_SPEC.fullmatch(spec)
    if match is None:
        raise UserError(f"'{spec}' names no registered model: write models:/NAME/VERSION or models:/NAME@ALIAS.")
    with _registry(spec) as client:
        name = match["name"]
        if match["version"]:
            found = client.get_model_version(name, match["version"])
        else:
            found = client.get_model_version_by_alias(name, match["alias"])
        key = hashlib.sha256(f"{name} {found.version} {found.run_id} {found.creation_timestamp}".encode()).hexdigest()
        folder = cache_folder() / "registry" / key[:16]
        if not (folder / FETCHED_FILE).is_file():
            from mlflow.artifacts import download_artifacts

            with whole_folder(folder, last=FETCHED_FILE) as partial:
                download_artifacts(artifact_uri=found.source, dst_path=str(partial))
                (partial / FETCHED_FILE).touch()
    files = [path for path in folder.rglob("*") if path.suffix in (".pt", ".safetensors")]
    if len(files) != 1:
        raise UserError(f"'{spec}' holds {len(files)} files of weights, not one: register it anew.")
    # what a training logged says it by the folder of the weights
    bundle = found.tags.get(BUNDLE_TAG) or files[0].parent.name
    if bundle not in {known.name for known in list_bundles()}:
        raise UserError(f"'{spec}' does not say of which bundle it is: set its tag '{BUNDLE_TAG}' in MLflow.")
    return str(bundle), files[0], f"{name}-{found.version}"


@contextmanager
def _registry(spec: str = "") -> Iterator[Any]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        yield MlflowClient()
    except (MlflowException, ConnectionError, TimeoutError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"MLflow's registry does not give {repr(spec) if spec else 'a version'} ({reason}): check the name and "
            "MLFLOW_TRACKING_URI.",
            key="MLFLOW_TRACKING_URI",
        ) from error


def find_model(path_or_name: str | Path, weights: str | None = None, *, trust: bool = False) -> TrainedModel:
    """Return the segmenter of a bundle of the package, by name, or of the folder of one that is trusted.

    Args:
        path_or_name: of the bundle.
        weights: a file, the name of one that comes with the bundle, several joined by commas (an ensemble), or ``None``
            for the bundle's own.
        trust: see :func:`~bus_monai.bundle.registry.find_bundle`.

    Raises:
        UserError: there is no such bundle, it is not trusted or no segmenter, or weights do not exist or their settings
            are wrong.
    """
    spec = f"{path_or_name}:{weights}" if weights else str(path_or_name)
    return _model(find_bundle(path_or_name, trust=trust), weights, spec, segmenter=True)


def _model(bundle: Path, weights: str | None, spec: str, segmenter: bool, name: str | None = None) -> TrainedModel:
    if segmenter and output_format(bundle) != "segmentation":
        raise UserError(
            f"The bundle '{bundle.name}' gives no masks, which this command works on: evaluate it with its own "
            "configs/evaluate.json, see its docs/README.md."
        )
    files = _files(bundle, weights)
    for file in files:
        if not file.is_file():
            raise UserError(f"The weights '{file}' of '{spec}' do not exist: train first, or give another file.")
    if not name:
        named = weights in named_weights(bundle)
        name = weights if weights and named else (files[0].parent if weights else bundle).resolve().name
    _check_alike(files, bundle)
    return TrainedModel(name, bundle, weights, read_settings(files[0]))


def _check_alike(files: Sequence[Path], bundle: Path) -> None:
    """Raise unless the networks of an ensemble take images alike: all of them run with the settings of the first."""
    if len(files) == 1:
        return
    first, *others = (known_in(read_settings(file), bundle / "configs" / INFERENCE_CONFIG) for file in files)
    for file, other in zip(files[1:], others, strict=True):
        for key in sorted(first.keys() & other.keys()):
            if first[key] != other[key]:
                raise UserError(
                    f"The networks of an ensemble must take images alike, and '{files[0]}' has {key} {first[key]!r} "
                    f"where '{file}' has {other[key]!r}: leave one out, or train both alike.",
                    key=key,
                )


def _files(bundle: Path, weights: str | None) -> list[Path]:
    if not weights:
        return [weights_file(bundle / "models" / TRAINED_FILE)]
    named = named_weights(bundle)
    return [named.get(part) or weights_file(Path(part)) for part in weights.split(",")]


def load_network(network: nn.Module, path: str | Path, device: torch.device | str | None = None) -> nn.Module:
    """Load weights into ``network`` and return it; several files joined by commas make an ensemble of its copies.

    Args:
        network: as it was trained.
        path: of the weights.
        device: where it is moved to; ``None`` leaves it where it is.

    Raises:
        UserError: weights are missing, broken, or of another network.
    """
    files = str(path).split(",")
    if len(files) == 1:
        loaded = _load_into(network, path)
    else:
        from bus_monai.networks.wrappers import Ensemble

        loaded = Ensemble(_load_into(copy.deepcopy(network), file) for file in files)
    return loaded if device is None else loaded.to(device)


def start_network(network: nn.Module, path: str | Path | None) -> None:
    """Load the weights that a training starts from; ``None`` leaves the network as it is.

    Raises:
        UserError: as :func:`load_network`.
    """
    if path is not None:
        _load_into(network, path)


def _load_into(network: nn.Module, path: str | Path) -> nn.Module:
    from bus_monai.networks.weights import read_weights

    state = read_weights(weights_file(Path(path)))
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' holds the weights of another network: give the network options that it was trained with "
            "(generator, use_gate, dilated_position, ...), or another file."
        ) from error
    return network


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
