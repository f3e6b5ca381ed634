"""The store over a DICOMweb server."""

from __future__ import annotations

import hashlib
import logging
import os
import time

from bus_monai.errors import UserError
from bus_monai.io.atomic import cache_folder
from bus_monai.label.store import LabelStore
from bus_monai.pacs.dicomweb import TOKEN_VARIABLE, DicomWeb, InstanceError

MODALITY = "US"
ASK_AGAIN_S = 60.0
"""After which a server that did not answer is asked again what is new."""
logger = logging.getLogger("bus_monai")


class DicomWebStore(LabelStore):
    """The ultrasound images of a server, kept with their labels in the cache folder.

    An image is called by its SOP Instance UID. What the server no longer has stays, since it may have labels, and all
    that was fetched is there while it does not answer.

    Args:
        url: of the DICOMweb service, such as ``http://host:8042/dicom-web``.

    Raises:
        UserError: the server cannot be reached at the start, refuses, or does not answer as DICOMweb does.
    """

    def __init__(self, url: str) -> None:
        self._service = DicomWeb(url, os.environ.get(TOKEN_VARIABLE))
        self._images = cache_folder() / "label" / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._images.mkdir(parents=True, exist_ok=True)
        self._ask_from = 0.0
        self._fetch()
        super().__init__(self._images)

    def refresh(self) -> None:
        """Fetch what is new on the server, if it answers, and look at the folder again."""
        if time.monotonic() >= self._ask_from:
            try:
                self._fetch()
            except UserError as error:
                self._ask_from = time.monotonic() + ASK_AGAIN_S
                logger.warning("What is new is not known: %s", error)
        super().refresh()

    def _fetch(self) -> None:
        for study in self._service.studies(MODALITY):
            for series, instance in self._service.instances(study, MODALITY):
                path = self._images / f"{instance}.dcm"
                if not path.is_file():
                    try:
                        self._service.fetch(study, series, instance, path)
                    except InstanceError as error:
                        logger.warning("Left out: %s, since %s", instance, error)
