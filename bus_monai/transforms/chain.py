"""A chain of transforms from parts, and the data set that keeps what its fixed part gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from monai.data.dataset import CacheDataset
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.traits import RandomizableTrait
from monai.transforms.transform import Transform


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


class PlainCacheDataset(CacheDataset):
    """Items as MONAI's ``CacheDataset`` keeps them, augmented as plain tensors.

    What the transforms before the first random one give is computed once and kept. Up to there images are
    ``MetaTensor`` with all their metadata; the random transforms get plain tensors and give the same values, without
    the record of each operation, which takes MONAI as long as the operations themselves. So what comes of it is for
    training, and not to be inverted.

    Args:
        data: items that the transforms take.
        transform: whole chain, see :func:`chain`.
        **options: ``cache_num``, ``num_workers``, ``progress`` and others of ``CacheDataset``, but for hashing.

    Example:
        >>> import torch
        >>> from monai.transforms.intensity.dictionary import RandScaleIntensityd
        >>> from monai.transforms.utility.dictionary import EnsureTyped
        >>> steps = chain([EnsureTyped("image"), RandScaleIntensityd("image", factors=0.5, prob=1.0)])
        >>> items = PlainCacheDataset([{"image": torch.ones(1, 2, 2)}], steps, progress=False)
        >>> type(items[0]["image"]).__name__, type(steps({"image": torch.ones(1, 2, 2)})["image"]).__name__
        ('Tensor', 'MetaTensor')
    """

    def __init__(self, data: Sequence[Any], transform: Compose, **options: Any) -> None:
        # what is plain cannot be looked up by what it was
        super().__init__(data, transform, hash_as_key=False, **options)

    def _load_cache_item(self, idx: int) -> dict[Any, Any]:
        return _plain(super()._load_cache_item(idx))

    def _transform(self, index: int) -> Any:
        kept = self._cache[index] if index % len(self) < self.cache_num else None
        item = self._load_cache_item(index) if kept is None else kept
        first = self.transform.get_index_of_first(_is_random)
        if first is None:
            return item
        with _without_metadata():
            # some transforms, such as Lambdad, make a MetaTensor of whatever they get
            return _plain(self.transform(deepcopy(item), start=first))


def _plain(item: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in item.items()}


def _is_random(transform: object) -> bool:
    """Return whether MONAI does not keep what a transform gives."""
    return isinstance(transform, RandomizableTrait) or not isinstance(transform, Transform)


@contextmanager
def _without_metadata() -> Iterator[None]:
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
