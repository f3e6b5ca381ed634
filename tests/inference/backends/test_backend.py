"""How many threads a runtime may take, and what the processor is fast in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_monai.inference.backends.backend import multiplies_int8, wanted_threads


@pytest.mark.parametrize(("value", "threads"), [("", 0), ("3", 3), ("4,2", 4), (" 2 ", 2), ("many", 0), ("-1", 0)])
def test_the_first_number_counts(value: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert wanted_threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert wanted_threads() == 0


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("avx2 avx512f avx512_vnni", True), ("avx2 avx_vnni", True), ("avx2 avx512f avx512_bf16", False)],
)
def test_a_processor_that_multiplies_int8_is_known(flags: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert multiplies_int8() is fast
