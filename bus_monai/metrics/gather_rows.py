"""The rows of a table whose parts several processes have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from ignite import distributed as idist

Row = TypeVar("Row")


def gather_rows(collected: Mapping[str, Row]) -> list[Row]:
    """Return the rows of all processes, sorted by id.

    Each counts once: a sampler pads its last round with items that another process has, too.

    Args:
        collected: rows of this process by id.
    """
    parts = [collected]
    if idist.get_world_size() > 1:
        parts = [{} for _ in range(idist.get_world_size())]
        torch.distributed.all_gather_object(parts, collected)
    rows = {id: row for part in parts for id, row in part.items()}
    return [rows[id] for id in sorted(rows)]
