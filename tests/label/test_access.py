"""Whose requests are answered, and how large they may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bus_monai.label.access import (
    KNOWN_KEY,
    MAX_FORM_BYTES,
    MAX_JSON_BYTES,
    MAX_UPLOAD_BYTES,
    Access,
    Guard,
    Message,
    Receive,
    RefusedError,
    Send,
    is_foreign,
)

HOST = {"host": "label:8000"}
OURS, THEIRS = ({**HOST, "origin": origin} for origin in ("http://label:8000", "https://evil.example"))


@pytest.mark.parametrize(
    ("method", "headers", "foreign"),
    [
        ("POST", HOST, False),  # no browser
        ("POST", OURS, False),
        ("POST", THEIRS, True),
        ("DELETE", THEIRS, True),
        ("GET", THEIRS, False),
        ("OPTIONS", THEIRS, False),
        ("POST", HOST | {"origin": "null"}, True),
        ("POST", HOST | {"origin": "http://label:8001"}, True),
        ("POST", HOST | {"origin": "http://label:8000.evil.example"}, True),
        # behind a proxy that changes the host
        ("POST", THEIRS | {"sec-fetch-site": "same-origin"}, False),
        ("POST", THEIRS | {"sec-fetch-site": "none"}, False),
        ("POST", OURS | {"sec-fetch-site": "cross-site"}, True),
        ("POST", OURS | {"sec-fetch-site": "same-site"}, True),
    ],
)
def test_only_changes_by_pages_of_other_sites(method: str, headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(method, headers, ["https://viewer.example"]) is foreign


@pytest.mark.parametrize("trusted", [["https://evil.example"], ["*"]])
def test_those_that_are_trusted_may(trusted: list[str]) -> None:
    assert not is_foreign("POST", THEIRS, trusted)


TOKEN = "s3cret-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ACCESS = Access.of(TOKEN, "127.0.0.1", 8000)


def _status(access: Access, method: str, path: str, headers: dict[str, str], query: str = "") -> int | bool:
    """Return the status of a refusal, or whether a cookie is due."""
    try:
        return access.check(method, path, headers, query)
    except RefusedError as refused:
        return refused.status


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST.:8000", True),
        ("[::1]:8000", True),
        ("10.1.2.3", True),  # a number is no name that somebody could lead here
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:8000@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_it_answers_to_its_names_alone(host: str, answered: bool) -> None:
    assert _status(ACCESS, "GET", "/info/", {"host": host, **BEARER}) == (False if answered else 403)
    open_to_all = Access.of(None, "127.0.0.1", 8000)
    assert _status(open_to_all, "GET", "/info/", {"host": host}) == (False if answered else 403)


def test_names_that_are_given_are_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "WS1")
    monkeypatch.setattr("socket.getfqdn", lambda: "ws1.hospital.local")
    for host in ("ws1:8000", "ws1.hospital.local:8000", "viewer.example"):
        headers = {"host": host, **BEARER}
        assert _status(Access.of(TOKEN, "0.0.0.0", 8000, ["https://viewer.example/"]), "GET", "/", headers) is False
        assert _status(ACCESS, "GET", "/", headers) == 403
        assert _status(Access.of(TOKEN, "127.0.0.1", 8000, ["*"]), "GET", "/", headers) is False


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status"),
    [
        ("GET", "/info/", "", {}, 401),
        ("GET", "/bus/", "", {}, 401),
        ("GET", "/info/", "", BEARER, False),
        ("GET", "/info/", "", {"authorization": f"token {TOKEN}"}, False),
        ("GET", "/info/", "", {"authorization": f"Basic {TOKEN}"}, 401),
        ("GET", "/info/", "", {"authorization": "Bearer other"}, 401),
        ("GET", "/info/", "", {"authorization": "Bearer é"}, 401),
        ("POST", "/train/x", "", {"cookie": f"a=b; bus_monai_label_8000={TOKEN}"}, False),
        ("POST", "/train/x", "", {"cookie": f"bus_monai_label_8001={TOKEN}"}, 401),
        ("GET", "/info/", "", {"cookie": "=;=;\x00"}, 401),
        ("GET", "/bus/", f"token={TOKEN}", {}, True),
        ("GET", "/bus/", "token=other", {}, 401),
        ("GET", "/bus/", "token=", {}, 401),
        ("POST", "/train/x", f"token={TOKEN}", {}, 401),
        ("POST", f"/token/{TOKEN}/train/x", "", {}, False),
        ("GET", f"/token/{TOKEN}", "", {}, True),
        ("POST", "/token/other/train/x", "", {}, 401),
        ("POST", "/token//train/x", "", {}, 401),
        ("GET", "/auth/", "", {}, False),
        ("POST", "/auth/token", "", {}, False),
        ("GET", "/auth/token/valid", "", {}, 401),
        ("POST", "/auth/token", "", {"origin": "https://evil.example"}, 403),
    ],
)
def test_requests_carry_the_token(
    method: str, path: str, query: str, headers: dict[str, str], status: int | bool
) -> None:
    assert _status(ACCESS, method, path, {"host": "localhost", **headers}, query) == status


def _answer(headers: dict[str, str], *parts: bytes, path: str = "/info/", query: str = "") -> dict[str, Any]:
    """Return the answer to a POST, whose parts an application counts."""
    told: dict[str, Any] = {"bytes": 0}

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        told.update(path=scope["path"], known=scope.get(KNOWN_KEY, False))
        try:
            while (message := await receive())["more_body"]:
                told["bytes"] += len(message["body"])
        except RefusedError as refused:
            told["refused"] = refused.status
        await send({"type": "http.response.start", "status": 200, "headers": []})

    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            told["status"] = message["status"]
            told["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}

    pairs = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    method = "GET" if query else "POST"
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": pairs}
    asyncio.run(Guard(application, ACCESS)(scope, receive, send))
    return told


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("multipart/form-data; boundary=x", MAX_UPLOAD_BYTES),
        ("application/json", MAX_JSON_BYTES),
        ("application/x-www-form-urlencoded", MAX_FORM_BYTES),
        ("", MAX_FORM_BYTES),
    ],
)
def test_what_declares_too_much_is_not_received(kind: str, most: int) -> None:
    told = _answer({**BEARER, "content-type": kind, "content-length": str(most)})
    assert (told["status"], told["path"]) == (200, "/info/")
    told = _answer({**BEARER, "content-type": kind, "content-length": str(most + 1)})
    assert told["status"] == 413
    assert "path" not in told


def test_what_declares_nothing_is_counted() -> None:
    part = bytes(MAX_FORM_BYTES // 2)
    assert _answer(BEARER, part, part)["bytes"] == 2 * len(part)
    told = _answer(BEARER, part, part, b"x")
    assert told["refused"] == 413


def test_the_answer_keeps_the_token_from_scripts_and_other_sites() -> None:
    cookie = f"bus_monai_label_8000={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert _answer({}, query=f"token={TOKEN}")["headers"] == {
        "set-cookie": cookie,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
    }
    assert "set-cookie" not in _answer(BEARER)["headers"]
    refused = _answer({})
    assert (refused["status"], refused["headers"]["www-authenticate"]) == (401, "Bearer")


def test_an_address_may_hold_the_token() -> None:
    told = _answer({}, path=f"/token/{TOKEN}/infer/x")
    assert (told["path"], told["known"]) == ("/infer/x", True)
    assert not _answer(BEARER)["known"]
