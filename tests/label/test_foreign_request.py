"""Whose requests are refused."""

from __future__ import annotations

import pytest

from bus_monai.label.foreign_request import is_foreign

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
