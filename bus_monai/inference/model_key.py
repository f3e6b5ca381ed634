"""What identifies a trained model: its weights, its settings and the configs that say what is done with them."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from bus_monai import __version__
from bus_monai.inference.models import TrainedModel

CONFIGS = ("inference.json", "metadata.json")
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
    configs = [(model.bundle / "configs" / name).read_text(encoding="utf-8") for name in CONFIGS]
    parts = [__version__, weights_hash(model), model.settings, configs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
