"""AE titles and addresses as they are written on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.pacs.address import NodeAddress, check_title, is_loopback
from tests.user_errors import raises_user_error

TITLES = st.from_regex(r"\A[!-\[\]-~]{1,16}\Z")


@given(TITLES, st.from_regex(r"\A[a-z][a-z0-9.-]{0,20}\Z"), st.integers(1, 65535))
def test_any_address_goes_through(title: str, host: str, port: int) -> None:
    address = NodeAddress(title, host, port)
    assert NodeAddress.parse(str(address)) == address


def test_ipv6() -> None:
    assert NodeAddress.parse("PACS@[::1]:104") == NodeAddress("PACS", "::1", 104)


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "host:104", "PACS@host:0", "PACS@host:65536", "PACS@:104"])
def test_no_address(text: str) -> None:
    with raises_user_error(repr(text), "AET@HOST:PORT", key="--send-to"):
        NodeAddress.parse(text)


@pytest.mark.parametrize("title", ["", " ", "A ", " A", "A\\B", "A" * 17, "É", "A\nB"])
def test_no_title(title: str) -> None:
    with raises_user_error(f"'{title}'", 1, 16, key="--allow"):
        check_title(title, "--allow")


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.0.1", "::1")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "127.evil.org", "10.0.0.1", "")] == [False] * 5
