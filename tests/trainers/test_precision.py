"""Where half precision is worth it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bus_monai.trainers.precision import gains_by_half_precision


@pytest.mark.parametrize(
    ("device", "supported", "gains"), [("cuda", False, True), ("cpu", True, True), ("cpu", False, False)]
)
def test_processors_must_be_fast_in_it(
    device: str, supported: bool, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: supported))
    assert gains_by_half_precision(torch.device(device)) is gains


def test_a_build_without_onednn_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert [gains_by_half_precision(torch.device(name)) for name in ("cpu", "mps", "cuda")] == [False, False, True]
