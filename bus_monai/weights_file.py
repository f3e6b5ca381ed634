"""Where weights lie. Imports neither torch nor MONAI."""

from __future__ import annotations

from pathlib import Path

TRAINED = "model.pt"
"""What a training writes."""
SHIPPED = "model.safetensors"
"""What comes with a bundle: matrices in half precision, and the settings of the training."""


def weights_file(path: Path) -> Path:
    """Return ``path``, or the ``model.safetensors`` beside it where it names a ``model.pt`` that is missing.

    Example:
        >>> weights_file(Path("nowhere/model.pt")).name
        'model.pt'
    """
    shipped = path.with_name(SHIPPED)
    return shipped if path.name == TRAINED and not path.is_file() and shipped.is_file() else path
