"""How many threads a runtime may take."""

from __future__ import annotations

import pytest

from bus_monai.inference.backends.backend import wanted_threads


@pytest.mark.parametrize(("value", "threads"), [("", 0), ("3", 3), ("4,2", 4), (" 2 ", 2), ("many", 0), ("-1", 0)])
def test_the_first_number_counts(value: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert wanted_threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert wanted_threads() == 0
