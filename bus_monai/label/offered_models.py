"""What ``bus-monai label`` is asked for, checked. Imports neither torch nor MONAI."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bus_monai.check_writable import check_writable
from bus_monai.errors import UserError
from bus_monai.inference.models import parse_models
from bus_monai.pacs.node_address import is_loopback
from bus_monai.registry import input_modality, list_bundles, output_format, require_ultrasound

logger = logging.getLogger("bus_monai")


def offered_models(text: str) -> list[str]:
    """Read models joined by commas; without any, name every segmenter of ultrasound that has weights.

    Raises:
        UserError: a model that there is not or that segments no ultrasound, or there is none.
    """
    specs = [word.strip() for word in text.split(",") if word.strip()]
    if not specs:
        specs = [info.name for info in list_bundles() if info.weights and _segments(info.root)]
    if not specs:
        raise UserError("No bundle has weights: train one, or give --bundles BUNDLE:WEIGHTS.")
    for model in parse_models(specs, segmenters=True):
        require_ultrasound(model.bundle)
    return specs


def check_studies(studies: str) -> str:
    """Return the URL as it is, or the folder's full path.

    Raises:
        UserError: there is no such folder, or labels cannot be written to it.
    """
    if studies.startswith(("http://", "https://")):
        return studies.rstrip("/")
    folder = Path(studies).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f"--studies '{studies}' is no folder: give a folder of images, or the URL of a DICOMweb server."
        )
    return str(check_writable(folder))


def warn_if_open(host: str) -> None:
    """Warn where other computers reach the server and nobody asks who they are."""
    if not is_loopback(host) and os.environ.get("MONAI_LABEL_AUTH_ENABLE", "").lower() not in ("true", "1"):
        logger.warning(
            "The server listens on %s without authentication: whoever reaches it sees and changes images and labels; "
            "see MONAI_LABEL_AUTH_ENABLE of MONAI Label.",
            host,
        )


def _segments(bundle: Path) -> bool:
    return output_format(bundle) == "segmentation" and input_modality(bundle) == "US"
