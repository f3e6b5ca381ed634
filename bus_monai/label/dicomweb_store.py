"""The store over a DICOMweb server."""

from __future__ import annotations

import hashlib
import logging
import os

from bus_monai.io.atomic import cache_folder
from bus_monai.label.store import LabelStore
from bus_monai.pacs.dicomweb import TOKEN_VARIABLE, DicomWeb, InstanceError

MODALITY = "US"
logger = logging.getLogger("bus_monai")


class DicomWebStore(LabelStore):
    """The ultrasound images of a server, kept with their labels in the cache folder.

    An image is called by its SOP Instance UID. What the server no longer has stays, since it may have labels.

    Args:
        url: of the DICOMweb service, such as ``http://host:8042/dicom-web``.

    Raises:
        UserError: the server cannot be reached, refuses, or does not answer as DICOMweb does.
    """

    def __init__(self, url: str) -> None:
        self._service = DicomWeb(url, os.environ.get(TOKEN_VARIABLE))
        self._images = cache_folder() / "label" / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._images.mkdir(parents=True, exist_ok=True)
        self._fetch()
        super().__init__(self._images)

    def refresh(self) -> None:
        """Fetch what is new on the server, and look at the folder again."""
        self._fetch()
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
