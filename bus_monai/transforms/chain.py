"""A chain of transforms from parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.transforms.compose import Compose


def chain(transforms: Sequence[Any]) -> Compose:
    """Return one flat ``Compose`` of several parts.

    Flat, since MONAI takes a ``Compose`` within another for a random transform and would not cache what it gives.

    Args:
        transforms: each a transform, a ``Compose`` or sequence of them, or ``None`` for a part that is left out.

    Example:
        >>> steps = chain([str.strip, None, [str.lower, chain([str.title])]])
        >>> steps(" TWO words "), len(steps.transforms)
        ('Two Words', 3)
    """
    return Compose(list(_flat(transforms)))


def _flat(parts: Sequence[Any]) -> list[Callable[..., Any]]:
    flat: list[Callable[..., Any]] = []
    for part in parts:
        if isinstance(part, Compose):
            flat += part.flatten().transforms
        elif isinstance(part, (list, tuple)):
            flat += _flat(part)
        elif part is not None:
            flat.append(part)
    return flat
