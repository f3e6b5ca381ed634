"""Inference and trainings of a real server, asked for by odd, hostile and large requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.label.conftest import MODEL, Server, png_of
from tests.security.bombs import BOMBS
from tests.user_errors import check_sentence
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.usefixtures("label_python", "nothing_is_left")
MAX_KILOBYTES = 1_050_000
"""Of the whole server, of which 750,000 are its libraries and the model."""
IMAGE = "phantom_0002"


def _answer(server: Server, method: str, path: str, **more: Any) -> requests.Response:
    """Return the answer to a request without the token."""
    return requests.request(method, server.url + path, timeout=PATIENCE_S, **more)


SENT = {"files": {"file": ("a.png", png_of()), "label": ("a.png", png_of())}}
REFUSED = {
    "no token": (401, "GET", "/info/", {}),
    "the page without the token": (401, "GET", "/bus/", {}),
    "a wrong token": (401, "GET", "/info/", {"headers": {"Authorization": "Bearer other"}}),
    "a wrong password": (401, "POST", "/auth/token", {"data": {"username": "x", "password": "y"}}),
    "another name of the host": (403, "GET", "/auth/", {"headers": {"Host": "evil.example"}}),
    "a page of another site": (403, "POST", "/auth/token", {"headers": {"Origin": "https://evil.example"}}),
    "another port of this machine": (403, "POST", "/auth/token", {"headers": {"Origin": "http://127.0.0.1:1"}}),
    "too large a form": (413, "POST", "/auth/token", {"data": {"password": "x" * 200_000}}),
}
REFUSED_WITH_TOKEN = {
    "weights": (405, "PUT", f"/model/{MODEL}", {"files": {"file": b"x"}}),
    "no weights": (405, "DELETE", f"/model/{MODEL}", {}),
    "the app anew": (404, "POST", "/reload", {}),
    "logs": (404, "GET", "/logs/", {}),
    "programs": (404, "GET", "/logs/gpu", {}),
    "sessions": (406, "PUT", "/session/", {"files": {"files": b"x"}}),
    "a file of this computer": (404, "POST", f"/infer/{MODEL}?image=/tmp/other.png", {}),
    "a file of this computer, unknown model": (404, "POST", "/infer/x?image=/tmp/other.png", {}),
    "a file of this computer to download": (404, "GET", "/datastore/image?image=../../../etc/passwd", {}),
    "a file of this computer by its parameters": (
        400,
        "POST",
        f"/infer/{MODEL}",
        {"data": {"params": '{"image": "/x"}'}},
    ),
    "a folder of modules": (400, "POST", f"/train/{MODEL}", {"json": {"bundle_path": "/tmp"}}),
    "graphic cards": (400, "POST", f"/train/{MODEL}", {"json": {"gpus": 0}}),
    "a training in the server": (400, "POST", f"/train/{MODEL}?run_sync=true", {"json": {}}),
    "no model": (404, "POST", "/train/other", {"json": {}}),
    "a result elsewhere": (
        400,
        "POST",
        f"/infer/{MODEL}?image={IMAGE}",
        {"data": {"params": '{"result_extension": "/../x.png"}'}},
    ),
    "a label elsewhere": (
        400,
        "PUT",
        f"/datastore/label?image={IMAGE}&tag=../x",
        {"files": {"label": ("a.png", png_of())}},
    ),
    "an image elsewhere": (400, "PUT", "/datastore/?image=../x", {"files": {"file": ("a.png", png_of())}}),
    "the store's own list": (400, "PUT", "/datastore/?image=datastore_v2.json", {"files": {"file": ("a", png_of())}}),
    "what the server keeps": (
        400,
        "PUT",
        f"/datastore/image/info?image={IMAGE}",
        {"data": {"info": '{"strategy": 1}'}},
    ),
    "other images of a server": (404, "GET", "/proxy/dicom/qido/studies", {}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(server: Server, what: str) -> None:
    status, method, path, more = REFUSED[what]
    answer = _answer(server, method, path, **more)
    assert (answer.status_code, type(answer.json()["detail"])) == (status, str)


@pytest.mark.parametrize("what", REFUSED_WITH_TOKEN)
def test_refused_even_with_the_token(server: Server, what: str) -> None:
    status, method, path, more = REFUSED_WITH_TOKEN[what]
    answer = server.ask(method, path, **more)
    assert (answer.status_code, type(answer.json()["detail"])) == (status, str), answer.text


ODD_TEXTS = (
    "",
    "../x",
    "/etc/passwd",
    "\x00",
    "9" * 400,
    "-1",
    "1e999",
    "$__import__('os').system('touch x')",
    "a" * 5000,
)
VALID = {"image": IMAGE, "label": IMAGE, "id": "none", "tag": "final", "number": "0", "path": "x", "service": "qido"}


def _requests_of(operation: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield path and query with one odd value each."""
    named = [(one["name"], one["in"]) for one in operation.get("parameters", ())]
    for odd_name, _ in named:
        for text in ODD_TEXTS:
            address, query = path, {}
            for name, place in named:
                value = text if name == odd_name else VALID.get(name)
                if place == "path":
                    address = address.replace(f"{{{name}}}", requests.utils.quote(value or "other", safe=""))
                elif value is not None:
                    query[name] = value
            yield address, query


def test_odd_values_in_addresses_are_refused_in_a_sentence(server: Server) -> None:
    paths = server.ask("GET", "/openapi.json").json()["paths"]
    assert {"/infer/{model}", "/bus/label", "/datastore/label", "/train/{model}", "/auth/token"} <= paths.keys()
    asked = 0
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {server.token}"
        for path, operations in paths.items():
            for method, operation in operations.items():
                for address, query in _requests_of(operation, path):
                    sent = session.request(method, server.url + address, params=query, timeout=PATIENCE_S)
                    asked += 1
                    _check(sent, f"{method} {address} {query}")
    assert asked > 300


def _check(answer: requests.Response, what: str) -> None:
    """Check that an answer is none, or a refusal in one sentence."""
    assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text}"
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert isinstance(answer.json()["detail"], str), f"{what}: {answer.text}"
        assert "\n" not in answer.json()["detail"], f"{what}: {answer.text}"


ODD_VALUES: tuple[Any, ...] = (
    "x",
    True,
    -1,
    10**400,
    [],
    [[]],
    {},
    {"a": None},
    [None],
    ["x"],
    [[1, 2, 3]],
    "$1",
    "\x00",
)
BROKEN_JSON = (
    "{",
    "[]",
    "5",
    "null",
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    "[" * 100_000,
    '{"a": ' * 200 + "1" + "}" * 200,
    '{"a": ' + "9" * 5000 + "}",
)
INFER_KEYS = (
    "threshold",
    "sensitivity",
    "min_area",
    "tolerance",
    "result_extension",
    "save_label",
    "label_tag",
    "foreground",
    "background",
    "clicks",
    "roi",
    "contours",
)


@pytest.mark.parametrize("key", INFER_KEYS)
def test_odd_parameters_of_inference_are_refused_in_a_sentence(server: Server, key: str) -> None:
    for model in (MODEL, f"{MODEL}_clicks"):
        for value in ODD_VALUES:
            params = {key: value} | ({"save_label": True} if key == "label_tag" else {})
            path = f"/infer/{model}?image={IMAGE}&output=json"
            answer = server.ask("POST", path, data={"params": json.dumps(params)})
            _check(answer, f"{model} {params}")
    values = [{"label": 1, "frame": 0, "points": [[0, 0], [1e300, 0], [5, 5]]}, 5, "x", [], {"label": 1}]
    for contour in values if key == "contours" else ():
        path = f"/infer/{MODEL}_clicks?image={IMAGE}&output=json"
        assert server.ask("POST", path, data={"params": json.dumps({key: [contour]})}).status_code == 400
        assert server.ask("PUT", f"/bus/label?image={IMAGE}", json={key: [contour]}).status_code == 400


@pytest.mark.parametrize("text", BROKEN_JSON, ids=[text[:12] for text in BROKEN_JSON])
def test_what_is_no_json_is_refused_everywhere(server: Server, text: str) -> None:
    forms = {
        ("POST", f"/infer/{MODEL}?image={IMAGE}"): ("params", "file"),
        ("PUT", f"/datastore/label?image={IMAGE}"): ("params", "label"),
        ("PUT", "/datastore/?image=odd"): ("params", "file"),
        ("PUT", f"/datastore/image/info?image={IMAGE}"): ("info", "file"),
    }
    for (method, path), (field, file) in forms.items():
        # as multipart in any case, for such texts are too long for another form
        answer = server.ask(method, path, data={field: text}, files={file: ("a.png", png_of())})
        assert answer.status_code == 400, f"{path}: {answer.text}"
        check_sentence(answer.json()["detail"], key=field)
    bodies = [("POST", f"/train/{MODEL}"), ("POST", "/scoring/dice"), ("POST", "/activelearning/first")]
    for method, path in [*bodies, ("POST", f"/batch/infer/{MODEL}"), ("PUT", f"/bus/label?image={IMAGE}")]:
        headers = {"Content-Type": "application/json"}
        answer = server.ask(method, path, data=text, headers=headers)
        assert answer.status_code == 400, f"{path}: {answer.text}"
    assert server.ask("GET", "/datastore/?output=all").status_code == 200


def test_forms_of_many_parts_and_none_are_refused(server: Server) -> None:
    path = f"/infer/{MODEL}?image={IMAGE}"
    files = [("file", (f"{n}.png", b"x")) for n in range(200)]
    for more in ({"files": files}, {"data": {f"f{n}": "" for n in range(200)}, "files": {"x": b""}}):
        answer = server.ask("POST", path, **more)
        assert answer.status_code == 400, answer.text
        _check(answer, path)
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x", "application/json", "\x7f"):
        for body in (b"", b"x", b"--x\r\n\r\n--x"):
            _check(
                server.ask("PUT", f"/datastore/label?image={IMAGE}", data=body, headers={"Content-Type": kind}), kind
            )


def _peak(server: Server) -> int:
    """Return the most kilobytes that the server has held since :func:`_forget_peak`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    assert found
    return int(found[1])


def _forget_peak(server: Server) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("bombs")
    made = {}
    for name, (make, suffix, _) in BOMBS.items():
        made[name] = folder / (re.sub(r"\W+", "_", name) + suffix)
        make(made[name])
    return made


SLOW_TO_READ = ("DICOM, elements", "DICOM, elements of a sequence")
"""A second of work whenever they are opened: sent once, and opened once where they lie."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak of memory to be read")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory(server: Server, bombs: dict[str, Path], name: str) -> None:
    bomb, image = bombs[name], bombs[name].name.partition(".")[0]
    suffix = bomb.name.removeprefix(image)
    placed = Path(server.studies) / f"placed_{bomb.name}"
    asked = [
        ("PUT", f"/datastore/?image=sent_{image}", {"files": {"file": (bomb.name, bomb.read_bytes())}}),
        ("POST", f"/infer/{MODEL}", {"files": {"file": (bomb.name, bomb.read_bytes())}}),
        *[
            ("PUT", f"/datastore/label?image={IMAGE}&tag=bomb", {"files": {"label": (label, bomb.read_bytes())}})
            for label in ("label.png", "label.nii.gz", "label.nii")
        ],
        ("GET", f"/bus/frame?image=placed_{image}", {}),
        ("GET", f"/bus/label?image=placed_{image}", {}),
        ("POST", f"/infer/{MODEL}?image=placed_{image}", {}),
        ("POST", f"/infer/{MODEL}_clicks?image=placed_{image}", {}),
        ("POST", "/activelearning/random", {"json": {}}),
    ]
    if name in SLOW_TO_READ:
        asked = [one for one in asked if one[1].startswith(("/datastore/?", "/bus/frame"))]
    _forget_peak(server)
    placed.write_bytes(bomb.read_bytes())
    server.ask("GET", "/bus/images")
    try:
        answers = [(path, server.ask(method, path, **more)) for method, path, more in asked]
    finally:
        placed.unlink()
        server.ask("DELETE", f"/datastore/?id=sent_{image}")
        server.ask("GET", "/bus/images")
    assert _peak(server) < MAX_KILOBYTES
    for path, answer in answers:
        _check(answer, path)
    if not name.startswith(("DICOM, second", "NIfTI, extension")):  # whose first image is whole
        detail = answers[0][1].json()["detail"]
        check_sentence(detail, *BOMBS[name][2], path=f"sent_{image}{suffix}")


def test_a_bomb_does_not_hold_up_others(server: Server, bombs: dict[str, Path]) -> None:
    bomb = bombs["DICOM, deflated"]  # half a second is spent on it

    def send() -> int:
        return server.ask("POST", f"/infer/{MODEL}", files={"file": (bomb.name, bomb.read_bytes())}).status_code

    def answered_meanwhile() -> int:
        answered = 0
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(send)
            while not waiting.done():
                assert server.ask("GET", "/bus/models").status_code == 200
                answered += 1
        assert waiting.result() == 400
        return answered

    # the most of ten, since others may use the machine too; of others that are held up one is answered, or two
    assert any(answered_meanwhile() >= 5 for _ in range(10))
