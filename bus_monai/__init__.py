"""Breast tumour segmentation with MONAI: published models as bundles, and what is needed to trust and deploy them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus_monai.inference.api import Result as Result
    from bus_monai.inference.api import segment as segment

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # not imported above, so that the command and the bundles start without what they do not use
    if name in ("Result", "segment"):
        from importlib import import_module

        return getattr(import_module("bus_monai.inference.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
