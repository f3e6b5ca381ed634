"""Requests that a page of another site has a browser send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

HARMLESS = ("GET", "HEAD", "OPTIONS")


def is_foreign(method: str, headers: Mapping[str, str], trusted: Collection[str]) -> bool:
    """Tell whether a request that may change something comes from a page of another site.

    Browsers send a plain POST of any page anywhere, with the cookies, and ask for no leave first (OWASP, Cross-Site
    Request Forgery Prevention). They do say where it comes from; programs that are no browser say nothing.

    Args:
        method: of HTTP.
        headers: of the request, by lower-case names.
        trusted: origins whose pages may, such as ``https://viewer.example``; ``*`` stands for all.
    """
    origin = headers.get("origin")
    if method in HARMLESS or origin is None or origin in trusted or "*" in trusted:
        return False
    site = headers.get("sec-fetch-site")
    # what the browser itself compared; a proxy may have changed the host
    return site not in ("same-origin", "none") if site else urlsplit(origin).netloc != headers.get("host")
