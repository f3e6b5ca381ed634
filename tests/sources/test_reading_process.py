"""What the process that opens files answers, asked within this one."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from bus_monai.io.opened import open_source
from bus_monai.sources import reading_process
from bus_monai.sources.reading_process import _Answers, what_is_wrong
from tests.user_errors import check_sentence


def identity(path: Path) -> list[int]:
    with open_source(path) as source:
        return source.identity


def asked(monkeypatch: pytest.MonkeyPatch, *requests: dict[str, Any]) -> BytesIO:
    # limits are for a process that ends
    monkeypatch.setattr(reading_process, "_set_limits", lambda budget: None)
    stream = BytesIO()
    _Answers(stream).tell_all(requests)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(("kind", "sent"), [(np.uint8, np.uint8), (np.uint16, np.float32)])
def test_a_small_picture_follows_its_head(
    kind: type, sent: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = np.iinfo(kind).max
    pixels = np.linspace(0, top, 20).astype(kind).reshape(4, 5)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    request = {"path": str(tmp_path / "a.png"), "identity": identity(tmp_path / "a.png")}
    stream = asked(monkeypatch, request)
    assert json.loads(stream.readline()) == {"pixels": 20, "modality": "", "failure": None, "follows": True}
    head = json.loads(stream.readline())
    assert (head["shape"], head["frame"], head["frames"]) == ([4, 5], 0, 1)
    # a byte for each pixel where nothing is lost
    assert np.dtype(head["kind"]) == sent
    found = np.frombuffer(stream.read(pixels.size * np.dtype(sent).itemsize), sent).reshape(4, 5)
    np.testing.assert_allclose(found, pixels if kind is sent else pixels / top, atol=1e-6)
    assert [json.loads(line) for line in stream] == [{"end": True}]


def test_a_failure_is_an_answer_and_the_next_request_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("L", (30, 20), 90).save(whole)
    broken.write_bytes(whole.read_bytes()[:45])
    changed = [*identity(whole)[:3], 0]
    requests = [{"path": str(broken), "identity": identity(broken)}, {"path": str(whole), "identity": changed}]
    lines = [json.loads(line) for line in asked(monkeypatch, *requests)]
    failed = [line for line in lines if "error" in line]
    assert [line["path"] for line in failed] == [str(broken), str(whole)]
    check_sentence(failed[0]["error"], path=broken)
    check_sentence(failed[1]["error"], "changed", path=whole)


def test_what_a_library_lacks_is_an_element_or_its_first_line() -> None:
    path = Path("a.dcm")
    with pytest.raises(AttributeError) as lacking:
        _ = Dataset().Rows
    check_sentence(what_is_wrong(path, lacking.value), "Rows", "lacks", path=path)
    check_sentence(what_is_wrong(path, KeyError("PixelData")), "PixelData", "lacks", path=path)
    said = what_is_wrong(path, ValueError("odd length" + os.linesep + "second"))
    check_sentence(said, "ValueError", "odd length", path=path)
    assert "second" not in said
