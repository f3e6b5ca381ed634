"""Who may ask the label server: by host, page, token and size; and the login that MONAI Label's clients know."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, HTTPException, Request

from bus_monai.label.request import FormBody
from bus_monai.pacs.address import is_loopback

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOGIN_PATHS = ("/auth/", "/auth/token")
"""Of MONAI Label's own login, which a client asks before it has the token."""
TOKEN_PARAMETER = "token"  # noqa: S105 (a name, no secret)
TOKEN_PATH = "/token/"  # noqa: S105
"""What an address begins with that holds the token in its path, for clients that send nothing but an address."""
MAX_UPLOAD_BYTES = 1_000_000_000
"""Of a request with files."""
MAX_JSON_BYTES = 8_000_000
"""Of a request in JSON; a cine of 300 frames with outlines of 200 points in each has 1 million."""
MAX_FORM_BYTES = 100_000
"""Of any other request."""


class RefusedError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        detail: the sentence that says why.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True)
class Access:
    """Whose requests are answered.

    A page of another site can send requests to a server of this machine, and reads the answers where its own name leads
    here for a while (DNS rebinding); so names are checked, and numbers, which nobody can redirect, are served.

    Args:
        token: that requests carry; ``None`` lets in whoever reaches the port.
        hosts: names that the server has, in small letters; numbers are served in any case.
        origins: other sites whose pages may ask, such as ``https://viewer.example``; ``*`` stands for all.
        cookie: name of the cookie that holds the token.

    Example:
        >>> access = Access("s3cret", frozenset({"localhost"}))
        >>> access.check("GET", "/info/", {"host": "localhost:8000", "authorization": "Bearer s3cret"})
        False
        >>> access.check("GET", "/info/", {"host": "evil.example", "authorization": "Bearer s3cret"})
        Traceback (most recent call last):
        ...
        bus_monai.label.access.RefusedError: This server is not 'evil.example': ask for it by its address, or name
        its site in MONAI_LABEL_CORS_ORIGINS.
    """

    token: str | None
    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    cookie: str = "bus_monai_label"

    @classmethod
    def of(cls, token: str | None, host: str, port: int, origins: Iterable[str] = ()) -> Access:
        """Return the access of a server that listens on a host and a port."""
        sites = frozenset(origin.rstrip("/") for origin in origins)
        names = {"localhost", host, *(urlsplit(site).hostname or "" for site in sites)}
        if not is_loopback(host):
            names |= {socket.gethostname(), socket.getfqdn()}
        # cookies do not tell ports apart
        return cls(token, frozenset(name.lower() for name in names if name), sites, f"bus_monai_label_{port}")

    def split(self, path: str) -> tuple[str, bool]:
        """Return a path without the token that it may begin with, and whether it did."""
        given, slash, rest = path.removeprefix(TOKEN_PATH).partition("/")
        if path.startswith(TOKEN_PATH) and self.is_token(given):
            return slash + rest or "/", True
        return path, False

    def check(self, method: str, path: str, headers: Mapping[str, str], query: str = "") -> bool:
        """Check a request; tell whether its address brings the token, for which a browser is due a cookie.

        Args:
            method: of HTTP.
            path: without the query.
            headers: by lower-case names.
            query: behind the question mark.

        Raises:
            RefusedError: it is for another host, from a page of another site, or without the token.
        """
        host = headers.get("host", "")
        if not self._serves(host):
            raise RefusedError(
                403,
                f"This server is not {host!r}: ask for it by its address, or name its site in "
                "MONAI_LABEL_CORS_ORIGINS.",
            )
        if is_foreign(method, headers, self.origins):
            raise RefusedError(
                403,
                f"A page of {headers['origin']} may not do this: name it in MONAI_LABEL_CORS_ORIGINS to let it.",
            )
        path, known = self.split(path)
        if known:
            return method in SAFE_METHODS
        if self.token is None or path in LOGIN_PATHS:
            return False
        if self.is_token(_bearer(headers)) or self.is_token(_cookies(headers).get(self.cookie, "")):
            return False
        if method in SAFE_METHODS and self.is_token(parse_qs(query).get(TOKEN_PARAMETER, [""])[0]):
            return True
        raise RefusedError(
            401,
            "The request lacks the token: open the address that 'bus-monai label' printed, or send the token as "
            "'Authorization: Bearer TOKEN'.",
        )

    def is_token(self, text: str) -> bool:
        """Compare a text with the token, in the same time whatever it is."""
        return self.token is not None and secrets.compare_digest(text.encode(), self.token.encode())

    def _serves(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return "*" in self.origins or name in self.hosts or _is_number(name)


def is_foreign(method: str, headers: Mapping[str, str], trusted: Iterable[str]) -> bool:
    """Tell whether a request that may change something comes from a page of another site.

    Browsers send a plain POST of any page anywhere, with the cookies, and ask for no leave first (OWASP, Cross-Site
    Request Forgery Prevention). They do say where it comes from; programs that are no browser say nothing.

    Args:
        method: of HTTP.
        headers: of the request, by lower-case names.
        trusted: origins whose pages may, such as ``https://viewer.example``; ``*`` stands for all.
    """
    origin = headers.get("origin")
    if method in SAFE_METHODS or origin is None or origin in trusted or "*" in trusted:
        return False
    site = headers.get("sec-fetch-site")
    # what the browser itself compared; a proxy may have changed the host
    return site not in ("same-origin", "none") if site else urlsplit(origin).netloc != headers.get("host")


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "token") else ""


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _is_number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
KNOWN_KEY = "bus_monai.token_in_path"
"""Key of the scope of ASGI: whether the address itself holds the token."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}
"""Of every answer: no page of another site shows ours within it, and none learns an address with a token."""


class Guard:
    """Answer no request that :class:`Access` refuses, nor one that is too large.

    Args:
        app: that answers the others, an application of ASGI.
        access: whose requests these are.
    """

    def __init__(self, app: Application, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        added = dict(HEADERS)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(name.encode(), value.encode("latin-1")) for name, value in added.items()]
                message["headers"] = [*message.get("headers", ()), *pairs]
            await send(message)

        try:
            query = scope.get("query_string", b"").decode("latin-1")
            if self.access.check(scope["method"], scope["path"], headers, query):
                secure = "; Secure" if scope.get("scheme") == "https" else ""
                added["set-cookie"] = (
                    f"{self.access.cookie}={self.access.token}; Path=/; HttpOnly; SameSite=Strict{secure}"
                )
            counted = _counted(receive, headers)
        except RefusedError as refused:
            await _refuse(refused, answer)
            return
        path, known = self.access.split(scope["path"])
        shorter = {"path": path, "raw_path": path.encode(), KNOWN_KEY: True} if known else {}
        await self.app({**scope, **shorter}, counted, answer)


def _counted(receive: Receive, headers: Mapping[str, str]) -> Receive:
    """Return what receives a request and stops where it is too large."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    most = {"multipart/form-data": MAX_UPLOAD_BYTES, "application/json": MAX_JSON_BYTES}.get(kind, MAX_FORM_BYTES)
    count = 0

    def check(total: int) -> None:
        if total > most:
            raise RefusedError(413, f"The request has more than {most:,} bytes: send less at a time.")

    declared = headers.get("content-length", "")
    check(int(declared[:20]) if declared.isdecimal() else 0)

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        check(count)
        return message

    return counted


async def _refuse(refused: RefusedError, send: Send) -> None:
    body = json.dumps({"detail": refused.detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def login_router(access: Access) -> APIRouter:
    """Return the routes, for which any name will do, and the token is the password."""
    router = APIRouter(prefix="/auth")

    @router.get("/")
    async def is_enabled(request: Request) -> dict[str, Any]:  # at once, whatever the threads have to do
        needed = access.token is not None and not request.scope.get(KNOWN_KEY, False)
        return {"enabled": needed, "client_id": "bus_monai", "realm": ""}

    @router.post("/token")
    def log_in(form: FormBody) -> dict[str, str | None]:
        if access.token is None:
            return {"access_token": None, "token_type": None}
        if not access.is_token(form.texts.get("password", "")):
            raise HTTPException(
                401, "This is not the password: give any name, and the token that 'bus-monai label' printed."
            )
        return {"access_token": access.token, "token_type": "Bearer"}

    @router.get("/token/valid")
    def is_valid() -> dict[str, Any]:
        return {"username": "annotator", "email": None, "name": None, "roles": []}

    return router
