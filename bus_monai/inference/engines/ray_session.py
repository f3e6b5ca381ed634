"""A Ray that says nothing and reports nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bus_monai.errors import UserError


@contextmanager
def ray_session(address: str | None = None, workers: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start a Ray on this machine for the block; where Ray is connected already, use that.

    Args:
        address: of the cluster, ``HOST:PORT`` of its head, or ``auto``; without one ``RAY_ADDRESS`` counts, and without
            that a Ray is started here.
        workers: processes of a Ray that is started here; ``None`` for one a core.

    Raises:
        UserError: there is no cluster at that address, or Ray cannot be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    alone: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **alone)
    except Exception as error:  # a raylet that does not come up in time raises no narrower one
        reason = str(error).partition("\n")[0].rstrip(".")
        if address == "local":
            raise UserError(f"Ray cannot be started here ({reason}): mend that, or use --engine local.") from error
        raise UserError(
            f"No Ray cluster answers at '{address}' ({reason}): start one with 'ray start --head', or mend "
            "--ray-address or RAY_ADDRESS."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
