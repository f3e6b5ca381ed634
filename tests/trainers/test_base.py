"""The chance of an epoch depends on the seed and its number alone."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import RandGaussianNoised

from bus_monai.trainers.base import SeededEpochs, gains_by_half_precision
from bus_monai.trainers.schedule import Blocked, GeneratorOnly, Interleaved, make_schedule
from tests.user_errors import raises_user_error


def epochs(seed: int = 0, workers: int = 0) -> SeededEpochs:
    data = [{"image": torch.full((1, 4, 4), float(i))} for i in range(7)]
    dataset = Dataset(data, RandGaussianNoised("image", prob=1.0))
    return SeededEpochs(DataLoader(dataset, batch_size=3, shuffle=True, num_workers=workers), seed=seed)


def one_pass(source: SeededEpochs, epoch: int, number: int = 0) -> torch.Tensor:
    chosen = next(itertools.islice(source.passes(epoch), number, None))
    return torch.cat([batch["image"].as_tensor() for batch in chosen])


def test_an_epoch_is_the_same_whatever_came_before() -> None:
    first = epochs()
    for epoch in (1, 2):
        one_pass(first, epoch)
    torch.rand(99)
    assert torch.equal(one_pass(first, 3), one_pass(epochs(), 3))


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 4}, {"number": 1}])
def test_seed_epoch_and_pass_all_matter(other: dict[str, int]) -> None:
    choice = {"seed": 0, "epoch": 3, "number": 0}
    one, two = (one_pass(epochs(c["seed"]), c["epoch"], c["number"]) for c in (choice, choice | other))
    assert not torch.equal(one, two)


def test_a_pass_holds_every_case_once() -> None:
    means = sorted(round(float(image.mean())) for image in one_pass(epochs(), 1))
    assert len(means) == 7
    assert set(range(7)) >= set(means) - {-1, 7}


def test_persistent_workers_are_refused() -> None:
    loader = DataLoader(Dataset([1, 2]), num_workers=1, persistent_workers=True)
    with pytest.raises(ValueError, match="persistent_workers"):
        SeededEpochs(loader, seed=0)


def test_a_set_that_fills_no_batch_is_refused() -> None:
    with raises_user_error(8, key="batch_size"):
        SeededEpochs(DataLoader(Dataset([1, 2]), batch_size=8, drop_last=True), seed=0)


@pytest.mark.parametrize("schedule", [GeneratorOnly(), Blocked(), Interleaved(n_critic=2)])
@pytest.mark.parametrize("pretraining", [True, False])
def test_length_is_the_number_of_iterations(schedule, pretraining: bool) -> None:
    passes = (iter("abc") for _ in itertools.count())
    iterations = list(schedule.iterations(passes, batches=3, pretraining=pretraining))
    assert len(iterations) == schedule.epoch_length(3)
    networks = [step.network for steps in iterations for step in steps]
    assert networks.count("generator") == 3
    assert ("discriminator" in networks) == (not pretraining and not isinstance(schedule, GeneratorOnly))


def test_schedules_by_name() -> None:
    assert isinstance(make_schedule("blocked"), Blocked)
    assert isinstance(make_schedule("blocked", gan_mode="none"), GeneratorOnly)
    with raises_user_error("block", "blocked", "interleaved", "paired", key="schedule"):
        make_schedule("block")
    with raises_user_error(0, 1, key="n_critic"):
        make_schedule("interleaved", n_critic=0)


@pytest.mark.parametrize(
    ("device", "supported", "avx512", "instructions", "gains"),
    [
        ("cuda", False, False, False, True),
        ("cpu", False, False, False, False),
        ("cpu", True, True, True, True),
        ("cpu", True, True, False, False),
        # Arm
        ("cpu", True, False, False, True),
    ],
)
def test_processors_must_be_fast_in_it(
    device: str, supported: bool, avx512: bool, instructions: bool, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: supported))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")  # as of ATEN_CPU_CAPABILITY
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    assert gains_by_half_precision(torch.device(device)) is gains


def test_a_build_without_onednn_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert [gains_by_half_precision(torch.device(name)) for name in ("cpu", "mps", "cuda")] == [False, False, True]
