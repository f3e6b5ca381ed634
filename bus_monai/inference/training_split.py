"""A data set, split as for the training of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_monai.data.datalist import FILE, Datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.data.readers.catalogue import recognise

UNKNOWN = {"protocol": "rdau", "seed": 0}
"""Split for a model whose training is not known."""


def training_split(source: Path, settings: Mapping[str, Any]) -> Datalist | None:
    """Return the sections of a data set; ``None`` where ``source`` is an image or a folder of images.

    Args:
        source: a folder with a ``datalist.json``, a published data set as unpacked, or anything else.
        settings: of the training, of which ``protocol`` and ``seed`` split a data set that has no sections.

    Raises:
        UserError: the data set cannot be read.
    """
    if not (source.is_dir() and ((source / FILE).is_file() or recognise(source) is not None)):
        return None
    known: dict[str, Any] = UNKNOWN | dict(settings)
    return load_dataset(source, protocol=known["protocol"], seed=known["seed"])
