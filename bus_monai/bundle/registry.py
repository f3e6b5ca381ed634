"""The bundles that ship, their weights, and the versions of installed packages. Imports neither torch nor MONAI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError, check_choice

TRAINED_FILE = "model.pt"
"""File of the weights that a training writes."""
SHIPPED_FILE = "model.safetensors"
"""File of the weights that ship with a bundle: matrices in half precision, and the settings of the training."""
_PACKAGE = Path(__file__).parents[1]
BUNDLE_FOLDERS = (_PACKAGE / "_bundles", _PACKAGE.parent / "bundles")
"""Folders of bundles: in an installed wheel, and in a checkout."""
DEFAULT_MODEL = "lite_unet"
"""The bundle that segments where none is named: it comes with weights."""
CHECKPOINT_FILE = "checkpoint.pt"
TRAIN_CONFIG, EVALUATE_CONFIG, INFERENCE_CONFIG = "train.json", "evaluate.json", "inference.json"
"""Of a bundle, in its folder ``configs``; the first declares its settings."""


def installed_version(package: str) -> str | None:
    """Return the version of a package by its name on PyPI, ``None`` where it is not installed; nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def weights_file(path: Path) -> Path:
    """Return ``path``, or the ``model.safetensors`` beside it where it names a ``model.pt`` that is missing.

    Example:
        >>> weights_file(Path("nowhere/model.pt")).name
        'model.pt'
    """
    shipped = path.with_name(SHIPPED_FILE)
    return shipped if path.name == TRAINED_FILE and not path.is_file() and shipped.is_file() else path


def named_weights(bundle: Path) -> dict[str, Path]:
    """Return the files of weights that come with a bundle by their names, as in ``BUNDLE:NAME``."""
    return {path.stem: path for path in (bundle / "models").glob("*.safetensors")}


@dataclass(frozen=True)
class BundleInfo:
    """A bundle of the package.

    Args:
        name: name of its folder.
        root: its folder.
        version: of the bundle.
        description: one sentence.
        weights: its own, trained here or shipped, ``None`` where there are none.
        more: names of weights that come beside its own.
    """

    name: str
    root: Path
    version: str
    description: str
    weights: Path | None
    more: tuple[str, ...]


def list_bundles() -> list[BundleInfo]:
    """Return the bundles of the package by name."""
    folders = {
        file.parent.parent for base in BUNDLE_FOLDERS if base.is_dir() for file in base.glob("*/configs/metadata.json")
    }
    infos = []
    for root in sorted(folders, key=lambda folder: folder.name):
        meta = _metadata(root)
        weights = weights_file(root / "models" / TRAINED_FILE)
        found = weights if weights.is_file() else None
        more = tuple(sorted(named_weights(root).keys() - {Path(SHIPPED_FILE).stem}))
        infos.append(BundleInfo(root.name, root, meta["version"], meta["description"], found, more))
    return infos


def find_bundle(path_or_name: str | Path, *, trust: bool = False) -> Path:
    """Return the folder of a bundle of the package, by name or path, or of any other that is trusted, by its path.

    Args:
        path_or_name: a text without ``/`` is a name.
        trust: whether the configs of another folder may run, which is any code.

    Raises:
        UserError: there is none, where the message names those that there are, or it is not trusted.
    """
    bundles = {info.name: info.root for info in list_bundles()}
    if isinstance(path_or_name, str) and "/" not in path_or_name:
        check_choice("bundle", path_or_name, bundles)
        return bundles[path_or_name]
    folder = Path(path_or_name)
    for root in bundles.values():
        if folder.resolve() == root.resolve():
            return root
    if not (folder / "configs" / "metadata.json").is_file():
        raise UserError(f"'{folder}' holds no bundle: give a folder with configs/metadata.json.", path=folder)
    if not trust:
        raise UserError(
            f"'{folder}' is no bundle of this package, and its configs can run any code: give --trust, in Python "
            "trust=True, if you trust whoever wrote them.",
            path=folder,
            key="--trust",
        )
    return folder


def output_format(bundle: Path) -> str:
    """Return what the network of the bundle in a folder gives: ``segmentation``, ``classes``, or ``raw`` for boxes."""
    return str(_metadata(bundle)["network_data_format"]["outputs"]["pred"]["format"])


def input_modality(bundle: Path) -> str:
    """Return what the bundle in a folder takes, by DICOM's codes: ``US``, or ``MG`` for mammograms."""
    return str(_metadata(bundle)["network_data_format"]["inputs"]["image"]["modality"])


def require_ultrasound(bundle: Path) -> None:
    """Raise a user error unless the bundle in a folder takes whole ultrasound images."""
    if input_modality(bundle) != "US":
        raise UserError(f"The bundle '{bundle.name}' is not for whole ultrasound images: choose another.")


def bundle_version(bundle: Path) -> str:
    """Return the version of the bundle in a folder."""
    return str(_metadata(bundle)["version"])


def _metadata(bundle: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return metadata
