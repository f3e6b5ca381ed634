"""A PACS by DICOMweb: what a study holds (QIDO-RS), its images (WADO-RS), results put back (STOW-RS); PS3.18."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient
from requests.auth import AuthBase

from bus_monai.dicom.source_header import write_dicom
from bus_monai.errors import UserError
from bus_monai.pacs.address import is_loopback

CHUNK_BYTES = 1 << 20


class TooLargeError(requests.RequestException):
    """The answer is larger than may be."""


class BoundedSession(requests.Session):
    """A session whose answers have a largest size, and which follows no redirection: data and token stay here.

    Args:
        max_bytes: of an answer's body.
        token: sent as ``Authorization: Bearer``; without one, ``~/.netrc`` may hold name and password of the host.
    """

    def __init__(self, max_bytes: int, token: str | None = None) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        if token:
            self.auth = _Bearer(token)  # beside 'auth', requests would put what .netrc says above a header

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request and read its answer.

        Raises:
            TooLargeError: the answer is too large.
            requests.TooManyRedirects: it is a redirection.
            requests.RequestException: there is none.
        """
        response = super().send(request, **(options | {"stream": True, "allow_redirects": False}))
        with response:
            if response.is_redirect:
                raise requests.TooManyRedirects(response=response)
            content = bytearray()
            for part in response.iter_content(CHUNK_BYTES):
                content += part
                if len(content) > self.max_bytes:
                    raise TooLargeError(response=response)
        response._content = bytes(content)  # where Response.content keeps what it read
        return response


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


TOKEN_VARIABLE = "BUS_MONAI_DICOMWEB_TOKEN"  # noqa: S105 (a name, no secret)
"""The environment variable with the token; options are seen by all users of a machine."""
MAX_BYTES = 2_000_000_000
"""Of one answer, which holds at most one instance."""
PAGE_ENTRIES, MAX_PAGES = 200, 500
"""Entries of a list asked for at a time, and how often."""
TIMEOUTS_S = (20, 120)
"""Seconds until there is a connection, and until its next bytes."""
_UID = re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))*")
MODALITY, STUDY_UID, SERIES_UID, INSTANCE_UID = "00080060", "0020000D", "0020000E", "00080018"


class InstanceError(Exception):
    """This one instance cannot be fetched or stored; the text says why."""


class DicomWeb:
    """A DICOMweb service.

    Args:
        url: of the service, such as ``https://pacs.local/dicom-web``.
        token: for ``Authorization: Bearer``, or ``None``.
        max_bytes: of one instance.

    Raises:
        UserError: the URL is none, holds a password, or would send the token unencrypted.
    """

    def __init__(self, url: str, token: str | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("--dicomweb is no URL: write https://HOST/PATH, such as https://pacs.local/dicom-web.")
        if "@" in parts.netloc:
            raise UserError(
                f"--dicomweb holds a password, which all users of this machine see: set {TOKEN_VARIABLE} or write it "
                "to ~/.netrc."
            )
        if token and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise UserError(f"{TOKEN_VARIABLE} would be sent unencrypted to '{url}': give an https URL.")
        self.url = url
        # a chunked body would be empty when it is sent again, so that all are sent in one
        self._client = DICOMwebClient(
            url.rstrip("/"), BoundedSession(max_bytes, token), chunk_size=max_bytes, timeout=TIMEOUTS_S
        )
        self._client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=250)

    def studies(self, modality: str) -> list[str]:
        """List the UIDs of the studies with a series of a modality, in the order of the service.

        Raises:
            UserError: the service cannot be reached or refuses.
        """
        wanted = {"ModalitiesInStudy": modality}
        with self._errors():
            return list(
                self._all(lambda **page: self._client.search_for_studies(search_filters=wanted, **page), STUDY_UID)
            )

    def instances(self, study: str, modality: str, series: str | None = None) -> list[tuple[str, str]]:
        """List the instances of a study, or of one series of it, in the order of the service.

        Args:
            study: its UID.
            modality: series of another one are left out.
            series: UID of the one series, or ``None`` for all.

        Returns:
            UIDs of series and instance.

        Raises:
            UserError: a UID is none, there is no such study, or the service cannot be reached or refuses.
        """
        for option, uid in (("--study", study), ("--series", series)):
            if uid is not None and not _UID.fullmatch(uid):
                raise UserError(f"{option} is no UID: give numbers with dots between, at most 64 characters.")
        with self._errors():
            found = self._all(lambda **page: self._client.search_for_series(study, **page), SERIES_UID)
            wanted = [uid for uid, entry in found.items() if _value(entry, MODALITY) == modality]
            return [
                (uid, instance)
                for uid in wanted
                if series in (None, uid)
                for instance in self._all(
                    lambda uid=uid, **page: self._client.search_for_instances(study, uid, **page), INSTANCE_UID
                )
            ]

    def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
        """Write an instance to ``path``, whole or not at all.

        Raises:
            InstanceError: this one cannot be fetched.
            UserError: the service cannot be reached or refuses, or the file cannot be written.
        """
        with self._errors(one=True):
            dataset = self._client.retrieve_instance(study, series, instance)
            if (dataset.get("StudyInstanceUID"), dataset.get("SOPInstanceUID")) != (study, instance):
                raise InstanceError("the service answers with another instance")
            write_dicom(dataset, path)

    def store(self, path: Path) -> None:
        """Store an object in its study.

        Raises:
            InstanceError: the service does not store this one.
            UserError: it cannot be reached or refuses.
        """
        with self._errors(one=True):
            dataset = pydicom.dcmread(path)
            answer = self._client.store_instances([dataset], dataset.StudyInstanceUID)
            if "FailedSOPSequence" in answer and answer.FailedSOPSequence:
                reason = answer.FailedSOPSequence[0].get("FailureReason", 0)
                raise InstanceError(f"the service answers 0x{reason:04X}")

    def _all(self, search: Callable[..., list[dict[str, Any]]], key: str) -> dict[str, Mapping[str, Any]]:
        """Return all entries by their UID, page by page; a service that knows no pages gives all at once."""
        found: dict[str, Mapping[str, Any]] = {}
        for _ in range(MAX_PAGES):
            entries = search(limit=PAGE_ENTRIES, offset=len(found))
            new = {uid: entry for entry in entries if _UID.fullmatch(uid := _value(entry, key)) and uid not in found}
            found |= new
            if not new:
                break
        return found

    @contextmanager
    def _errors(self, *, one: bool = False) -> Iterator[None]:
        again = "run the command again later, and it goes on where it ended"
        try:
            yield
        except (UserError, InstanceError):
            raise
        except requests.exceptions.SSLError as error:
            raise UserError(
                f"'{self.url}' shows no certificate that this machine trusts: give REQUESTS_CA_BUNDLE the PEM file of "
                "its authority."
            ) from error
        except requests.TooManyRedirects as error:
            raise UserError(
                f"'{self.url}' redirects to another address, which is not followed: give that one as --dicomweb."
            ) from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise UserError(f"'{self.url}' cannot be reached (no connection): {again}.") from error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise UserError(
                    f"'{self.url}' refuses access ({status}): set {TOKEN_VARIABLE} to a valid token."
                ) from error
            if one and status < 500:
                raise InstanceError(f"the service answers {status}") from error
            raise UserError(f"'{self.url}' answers {status}: check the address, or {again}.") from error
        except Exception as error:  # of whatever the service wrote; its text may quote a patient
            reason = "it is too large" if isinstance(error, TooLargeError) else f"{type(error).__name__} in the answer"
            if one:
                raise InstanceError(reason) from error
            raise UserError(f"'{self.url}' gives no list of a study ({reason}): check the address.") from error


def _value(entry: Mapping[str, Any], tag: str) -> str:
    values = entry.get(tag, {}).get("Value") or [""]
    return str(values[0])
