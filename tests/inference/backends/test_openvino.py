"""OpenVINO: what it compiled is kept, and what the processor cannot compute is computed otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bus_monai.inference.backends.chain import CHAIN_FILE, GRAPH_FILE, Chain
from bus_monai.inference.predictor import Predictor, find_graph
from tests.inference.test_predictor import FP32, image
from tests.user_errors import raises_user_error


def test_without_kernels_for_half_precision_openvino_computes_in_float32(
    reference: Predictor, small_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    pixels = image((40, 50))
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import numpy as np\n"
        "from bus_monai.inference.predictor import Predictor\n"
        f"p = Predictor.from_bundle('baseline', {str(small_weights)!r})\n"
        "print(p.backend)\n"
        "np.save('probability.npy', p.predict(np.load('pixels.npy')))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("openvino\n", "")
    np.testing.assert_allclose(np.load(tmp_path / "probability.npy"), reference.predict(pixels), atol=FP32)


def test_what_was_compiled_is_kept_whole_or_made_anew(
    reference: Predictor, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from bus_monai.inference.backends.openvino import OpenVinoBackend

    graph = find_graph(reference.model)
    monkeypatch.setenv("BUS_MONAI_CACHE", str(tmp_path))
    backend, chain = "bus_monai.inference.backends.openvino", Chain.read(graph / CHAIN_FILE)
    expected = OpenVinoBackend(graph / GRAPH_FILE, chain)(image((40, 50))).probability
    (kept,) = tmp_path.rglob("*.blob")
    with monkeypatch.context() as patched:
        patched.setattr(f"{backend}.network_alone", None)  # nothing is compiled any more
        found = OpenVinoBackend(graph / GRAPH_FILE, chain)(image((40, 50))).probability
    np.testing.assert_array_equal(found, expected)
    kept.write_bytes(kept.read_bytes()[:-1])
    np.testing.assert_array_equal(OpenVinoBackend(graph / GRAPH_FILE, chain)(image((40, 50))).probability, expected)


def test_ranges_of_eight_bits_come_back_from_their_file(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from bus_monai.inference.backends.openvino import Int8Ranges

    ranges = Int8Ranges({"/conv": (-1.5, 2.25)}, 0.125)
    ranges.write(tmp_path / "int8.json")
    assert Int8Ranges.read(tmp_path / "int8.json") == ranges
    for broken in ("{", '{"ranges": {}}', '{"ranges": {"/conv": [1]}, "distance": 0}'):
        (tmp_path / "int8.json").write_text(broken)
        with raises_user_error("JSON", path=tmp_path / "int8.json"):
            Int8Ranges.read(tmp_path / "int8.json")
