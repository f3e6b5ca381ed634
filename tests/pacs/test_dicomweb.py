"""A DICOMweb service that does what it should not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bus_monai.errors import UserError
from bus_monai.pacs.dicomweb import TOKEN_VARIABLE, DicomWeb, InstanceError
from tests.pacs.certificates import Authority
from tests.pacs.serving import images
from tests.user_errors import check_names, raises_user_error

Answer = tuple[int, dict[str, str], bytes]
SERIES = {"0020000E": {"vr": "UI", "Value": ["1.2"]}, "00080060": {"vr": "CS", "Value": ["US"]}}


@contextmanager
def service(answer: Callable[[BaseHTTPRequestHandler], Answer], tls: Any = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = answer(self)
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/dicom-web"
    server.shutdown()
    server.server_close()


def text(value: Any) -> Answer:
    return 200, {"Content-Type": "application/dicom+json"}, json.dumps(value).encode()


def test_a_redirection_is_not_followed_and_the_token_stays() -> None:
    seen: list[str] = []

    def elsewhere(request: BaseHTTPRequestHandler) -> Answer:
        seen.append(str(request.headers["Authorization"]))
        return text([])

    def here(request: BaseHTTPRequestHandler) -> Answer:
        assert request.headers["Authorization"] == "Bearer abc"
        return 302, {"Location": other + request.path}, b""

    with service(elsewhere) as other, service(here) as url, raises_user_error(f"'{url}'", key="--dicomweb"):
        DicomWeb(url, "abc").instances("1.2.3", "US")
    assert seen == []


def test_the_token_is_above_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str] = []
    with service(lambda request: (seen.append(request.headers["Authorization"]), text([]))[1]) as url:
        DicomWeb(url, "abc").instances("1.2.3", "US")
        DicomWeb(url).instances("1.2.3", "US")
    assert seen == ["Bearer abc", "Basic bWU6c2VjcmV0"]


def test_answers_that_are_too_large_or_nonsense(tmp_path: Path) -> None:
    with service(lambda request: (200, {"Content-Type": "application/json"}, b"[" + b" " * 5000 + b"]")) as url:
        with raises_user_error(f"'{url}'"):
            DicomWeb(url, max_bytes=1000).instances("1.2.3", "US")
        with pytest.raises(InstanceError, match=r"^it is too large$"):
            DicomWeb(url, max_bytes=1000).fetch("1.2.3", "1.2", "1", tmp_path / "x.dcm")
    for body in (b"<html>SECRET", b'["SECRET"]', b"[[]]", b'[{"0020000E": 3}]'):
        with service(lambda request, body=body: (200, {"Content-Type": "application/json"}, body)) as url:
            with pytest.raises(UserError) as error:
                DicomWeb(url).instances("1.2.3", "US")
            check_names(error.value, f"'{url}'")
            assert "SECRET" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_list_without_pages_and_one_without_end() -> None:
    """A service that knows no ``offset`` gives the same again; one that lies gives ever new series."""
    asked: list[str] = []

    def same(request: BaseHTTPRequestHandler) -> Answer:
        asked.append(request.path)
        entry = SERIES if request.path.startswith("/dicom-web/studies/1.2.3/series?") else {}
        return text([{**entry, "00080018": {"vr": "UI", "Value": [uid]}} for uid in ("1.5", "../../x", "1.6")])

    with service(same) as url:
        assert DicomWeb(url).instances("1.2.3", "US") == [("1.2", "1.5"), ("1.2", "1.6")]
        assert len(asked) == 4
        assert DicomWeb(url).instances("1.2.3", "MG") == []


def test_another_instance_than_asked_for(tmp_path: Path) -> None:
    (source,) = images(tmp_path / "in", 1)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + source.read_bytes() + b"\r\n--x--"
    other = pytest.raises(InstanceError, match=r"^the service answers with another instance$")
    with service(lambda request: (200, headers, body)) as url, other:
        DicomWeb(url).fetch("1.2.3", "1.2", "1.5", tmp_path / "x.dcm")
    assert not (tmp_path / "x.dcm").exists()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "BUS_MONAI_DICOMWEB_TOKEN"), (403, "BUS_MONAI_DICOMWEB_TOKEN"), (500, "run the command again")],
)
def test_refusals_end_the_run(status: int, remedy: str, tmp_path: Path) -> None:
    (source,) = images(tmp_path / "in", 1)
    with service(lambda request: (status, {}, b"")) as url:
        web = DicomWeb(url)
        for call in (lambda: web.instances("1.2", "US"), lambda: web.store(source)):
            with raises_user_error(f"'{url}'", status, remedy):
                call()


def test_one_that_is_not_stored(tmp_path: Path) -> None:
    (source,) = images(tmp_path / "in", 1)
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA900]}}]}}
    with (
        service(lambda request: text(failed)) as url,
        pytest.raises(InstanceError, match=r"^the service answers 0xA900$"),
    ):
        DicomWeb(url).store(source)
    with (
        service(lambda request: (409, {}, b"")) as url,
        pytest.raises(InstanceError, match=r"^the service answers 409$"),
    ):
        DicomWeb(url).store(source)


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Authority(tmp_path / "authority").files(mutual=False)
    with service(lambda request: text([]), files.server_context()) as url:
        with raises_user_error(f"'{url}'", "REQUESTS_CA_BUNDLE"):
            DicomWeb(url, "abc").instances("1.2.3", "US")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority" / "authority.pem"))
        assert DicomWeb(url, "abc").instances("1.2.3", "US") == []


@pytest.mark.parametrize(
    ("url", "token", "named"),
    [
        ("pacs", None, ["--dicomweb", "https://HOST/PATH"]),
        ("file:///etc", None, ["--dicomweb", "https://HOST/PATH"]),
        ("https://me:secret@pacs/x", None, ["--dicomweb", TOKEN_VARIABLE, "~/.netrc"]),
        ("http://pacs/x", "abc", [TOKEN_VARIABLE, "'http://pacs/x'", "https"]),
    ],
)
def test_addresses(url: str, token: str | None, named: list[str]) -> None:
    with pytest.raises(UserError) as error:
        DicomWeb(url, token)
    check_names(error.value, *named)
    assert "secret" not in str(error.value)
