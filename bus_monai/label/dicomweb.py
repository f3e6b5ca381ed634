"""Images of a DICOMweb server."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from pydicom import Dataset

from bus_monai.data.cache import cache_folder
from bus_monai.dicom.write import write_dicom
from bus_monai.errors import UserError
from bus_monai.label.store import LabelStore

MODALITY = "US"
logger = logging.getLogger("bus_monai")


class DicomWebStore(LabelStore):
    """The ultrasound images of a server, kept with their labels in the cache folder.

    An image is called by its SOP Instance UID. ``MONAI_LABEL_DICOMWEB_USERNAME`` and ``..._PASSWORD`` log in. What the
    server no longer has stays, since it may have labels.

    Args:
        url: of the DICOMweb service, such as ``http://host:8042/dicom-web``.

    Raises:
        UserError: the server does not answer as DICOMweb does.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        session = create_session_from_user_pass(user, password) if user and password else None
        self._client = DICOMwebClient(url=url, session=session)
        folder = cache_folder() / "label" / hashlib.sha256(url.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._fetch()
        super().__init__(folder)

    def refresh(self) -> None:
        """Fetch what is new on the server, and look at the folder again."""
        self._fetch()
        super().refresh()

    def _fetch(self) -> None:
        try:
            for series in self._all(self._client.search_for_series, search_filters={"Modality": MODALITY}):
                study, number = str(series.StudyInstanceUID), str(series.SeriesInstanceUID)
                for found in self._all(self._client.search_for_instances, study, number):
                    path = self._folder / f"{found.SOPInstanceUID}.dcm"
                    if not path.is_file():
                        logger.info("Fetching %s", path.stem)
                        write_dicom(self._client.retrieve_instance(study, number, path.stem), path)
        except (requests.RequestException, OSError, ValueError, KeyError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"'{self.url}' does not answer as DICOMweb ({error}): check the URL and the server."
            ) from error

    @staticmethod
    def _all(search: Any, *where: str, **filters: Any) -> list[Dataset]:
        return [Dataset.from_json(found) for found in search(*where, get_remaining=True, **filters)]
