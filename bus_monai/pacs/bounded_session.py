"""HTTP to one server and no further."""

from __future__ import annotations

from typing import Any

import requests
from requests.auth import AuthBase

READ_AT_ONCE = 1 << 20


class TooLargeError(requests.RequestException):
    """The answer is larger than may be."""


class BoundedSession(requests.Session):
    """A session whose answers have a largest size, and which follows no redirection: data and token stay here.

    Args:
        most_bytes: of an answer's body.
        token: sent as ``Authorization: Bearer``; without one, ``~/.netrc`` may hold name and password of the host.
    """

    def __init__(self, most_bytes: int, token: str | None = None) -> None:
        super().__init__()
        self.most_bytes = most_bytes
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
            for part in response.iter_content(READ_AT_ONCE):
                content += part
                if len(content) > self.most_bytes:
                    raise TooLargeError(response=response)
        response._content = bytes(content)  # where Response.content keeps what it read
        return response


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
