"""What identifies a trained model: its weights, its settings and the configs that say what is done with them."""

from __future__ import annotations

import hashlib
import json

from bus_monai import __version__
from bus_monai.inference.models import TrainedModel

CONFIGS = ("inference.json", "metadata.json")


def weights_hashes(model: TrainedModel) -> list[str]:
    """Return the SHA-256 of each file of weights."""
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in model.files]


def weights_hash(model: TrainedModel) -> str:
    """Return the SHA-256 of the file of weights; of several, that of their hashes in order."""
    digests = weights_hashes(model)
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def model_key(model: TrainedModel) -> str:
    """Return a hash that changes with anything that may change a prediction."""
    configs = [(model.bundle / "configs" / name).read_text(encoding="utf-8") for name in CONFIGS]
    parts = [__version__, weights_hash(model), model.settings, configs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
