"""What a million studies cost: the model against numbers worked out by hand, and its unit costs as measured."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus_monai.sources.read import read_source
from tests.dicom.objects import errors_of
from tests.user_errors import check_sentence, raises_user_error

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _benchmarks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield


@pytest.fixture(scope="module")
def model() -> Any:
    return import_module("scale_model")


@pytest.fixture(scope="module")
def units(model: Any) -> Any:
    return model.Units(
        decode={"JPEG": 0.004, "RLE": 0.008}, bytes_in={"JPEG": 1e5, "RLE": 1e6},
        predict={"openvino": 0.02, "torch": 0.1, "gpu host": 0.05}, find=0.003,
        write={"seg": 0.01, "png": 0.002, "overlay": 0.1}, bytes_out={"seg": 2e3, "png": 1e3, "overlay": 5e5},
        file=0.001, start=3.6, lesions=1.0,
    )  # fmt: skip


def test_a_file_costs_its_frames_and_itself(model: Any, units: Any) -> None:
    load = model.Load(1, 1, frames=10, mix={"JPEG": 3, "RLE": 1}, outputs=("seg", "overlay"))
    cost = model.cost_of_file(units, load, model.Cluster())
    assert cost.stages == pytest.approx(
        {"decode": 10 * (0.75 * 0.004 + 0.25 * 0.008), "inference": 0.2, "write": 10 * 0.01 + 0.1, "other": 0.031}
    )
    assert (cost.bytes_in, cost.bytes_out) == pytest.approx((10 * (0.75e5 + 0.25e6), 10 * 2e3 + 5e5))
    assert cost.gpu == 0
    on_gpu = model.cost_of_file(units, load, model.Cluster(gpus=1, gpu_seconds=0.006))
    assert (on_gpu.stages["inference"], on_gpu.gpu) == pytest.approx((0.5, 0.06))


def test_the_slowest_part_binds(model: Any, units: Any) -> None:
    """Of a thousand files on two nodes of four cores; a file takes 0.03 s of a core."""
    load = model.Load(1000, 1, mix={"JPEG": 1}, outputs=("png",))
    fast = {"node_bytes": 1e12, "shared_bytes": 1e12, "latency": 0.0}
    cores = model.Cluster(cores=4, **fast)

    def found(cluster: Any) -> tuple[float, str]:
        time, part = model.hours(units, load, cluster, 2)
        return time * 3600 - units.start, part

    assert found(cores) == (pytest.approx(1000 * 0.03 / 8), "cores (inference)")
    gpu = replace(cores, gpus=1, gpu_seconds=0.1)
    assert found(gpu) == (pytest.approx(1000 * 0.1 / 2), "GPU")
    assert found(replace(cores, latency=0.33)) == (pytest.approx(1000 * 0.36 / (3 * 8)), "waiting")
    assert found(replace(cores, node_bytes=1.01e5))[1] == "network of a node"
    assert found(replace(cores, shared_bytes=1.01e6)) == (pytest.approx(1000 * 0.1), "shared storage")
    # above 0.06 s of four cores per file the GPU is what is waited for
    assert model.gpu_break_even(model.cost_of_file(units, load, gpu), gpu) == pytest.approx(0.06 / 4)


@given(
    studies=st.floats(1e3, 1e8), cores=st.integers(1, 128), gpus=st.integers(0, 8), shared=st.floats(1e8, 1e12),
    latency=st.floats(0, 1),
)  # fmt: skip
def test_as_many_nodes_as_a_day_needs_and_no_more(
    studies: float, cores: int, gpus: int, shared: float, latency: float, model: Any, units: Any
) -> None:
    load = model.Load(studies, outputs=("seg", "png"))
    cluster = model.Cluster(cores=cores, gpus=gpus, shared_bytes=shared, latency=latency)
    times = [model.hours(units, load, cluster, nodes)[0] for nodes in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)
    nodes = model.nodes_for_a_day(units, load, cluster)
    if nodes is None:
        assert model.hours(units, load, cluster, 1e12) == (pytest.approx(times[-1], rel=10), "shared storage")
        return
    assert model.hours(units, load, cluster, nodes)[0] <= 24
    assert nodes == 1 or model.hours(units, load, cluster, nodes - 1)[0] > 24


def test_wrong_words_end_in_a_sentence(model: Any, units: Any, tmp_path: Path) -> None:
    with raises_user_error("MPEG", "JPEG", "RLE"):
        model.cost_of_file(units, model.Load(mix={"MPEG": 1}), model.Cluster())
    file = tmp_path / "units.json"
    units.save(file)
    assert model.Units.read(file) == units
    file.write_text(json.dumps({**asdict(units), "wages": 1}))
    with raises_user_error("wages", "decode", path=file):
        model.Units.read(file)
    parse = import_module("scale").parse_mix
    assert parse("JPEG=3, RLE=1", units) == {"JPEG": 3, "RLE": 1}
    assert parse("", units) == {"JPEG": 1, "RLE": 1}
    for wrong in ("JPEG", "JPEG=0", "JPEG=x"):
        with raises_user_error(repr(wrong), key="--mix"):
            parse(wrong, units)


def test_the_generated_files_are_valid_and_hold_one_picture(tmp_path: Path) -> None:
    files = import_module("scale_measure")
    paths = files.write_files(tmp_path / "files", 8, (64, 96))
    assert [files.syntax_name(path) for path in paths[:4]] == ["uncompressed", "RLE", "JPEG baseline", "JPEG 2000"]
    first, rle, jpeg, jpeg_2000 = (read_source(path) for path in paths[:4])
    assert first.spacing_mm == (0.625, 0.625)
    for same in (rle, jpeg_2000):
        np.testing.assert_array_equal(same.pixels, first.pixels)
    np.testing.assert_allclose(jpeg.pixels, first.pixels, atol=0.2)
    assert not np.array_equal(read_source(paths[4]).pixels, first.pixels)
    for path in paths[:4]:
        assert errors_of(path) == []


def test_the_unit_costs_are_measured_and_held_against_a_run(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Any
) -> None:
    measuring = import_module("scale_measure")
    monkeypatch.setattr(measuring, "run_command", lambda files, spec, out: (20.0, 10.0 * len(files)))
    monkeypatch.setattr(measuring, "pin", lambda cores: None)
    monkeypatch.setattr(measuring, "CORES", [0])
    file, plot = tmp_path / "units.json", tmp_path / "curve.png"
    words = ["--measure", "phantoms", "--model", f"baseline:{small_weights}", "--files", "4", "--size", "64", "64"]
    words += ["--rounds", "1", "--validate", "2", "--units", str(file), "--plot", str(plot)]
    monkeypatch.setattr(sys, "argv", ["scale.py", *words])
    import_module("scale").main()
    units = model.Units.read(file)
    assert list(units.decode) == ["JPEG 2000", "JPEG baseline", "RLE", "uncompressed"]
    assert list(units.predict) == ["openvino", "torch", "gpu host"]
    assert all(cost > 0 for cost in (*units.decode.values(), *units.predict.values(), units.find, units.file))
    assert units.write["png"] > 0
    assert units.bytes_in["uncompressed"] > 64 * 64 * 3
    assert 9 < units.start < 10
    assert plot.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "19,000,000 files of 1 frames" in out
    assert "| CPU node, 32 cores |" in out
    cells = [cell.strip() for cell in out.splitlines()[-1].strip("|").split("|")]
    assert cells[0] == "1"
    assert float(cells[2]) == 20
    assert float(cells[3]) == pytest.approx(20 / float(cells[1]), abs=0.01)
    assert cells[5:] == ["20.00", "1.00"]


def test_the_shipped_unit_costs_give_the_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = import_module("scale")
    monkeypatch.setattr(sys, "argv", ["scale.py", "--frames", "2", "--write", "seg,sr"])
    scale.main()
    assert "19,000,000 files of 2 frames" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["scale.py", "--write", "wav"])
    with pytest.raises(SystemExit) as stopped:
        scale.main()
    assert stopped.value.code == 2
    check_sentence(capsys.readouterr().err, "'wav'", "seg", "sr", "overlay", "png")
