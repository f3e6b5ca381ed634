"""Means of an epoch: over what was there, of all that is finite; and the lines that say how far a training is."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.utils.enums import AdversarialKeys

from bus_monai.bundle.registry import find_bundle
from bus_monai.data.dataset import default_dataset_dir
from bus_monai.handlers.progress import EpochMeans, EpochReport, TrustedMasks, next_command
from bus_monai.report.score_figures import curves_figure
from tests.user_errors import raises_user_error


def run(outputs: list[dict]) -> dict[str, float]:
    engine = Engine(lambda _engine, batch: batch)
    EpochMeans().attach(engine)
    engine.run(outputs, max_epochs=1)
    return engine.state.metrics


def test_each_value_is_averaged_over_the_iterations_that_have_it() -> None:
    d = [{AdversarialKeys.DISCRIMINATOR_LOSS: torch.tensor(v)} for v in (1.0, 3.0)]
    g = [{"loss": torch.tensor(v)} for v in (0.5, 0.25, 0.75)]
    assert run([*d, {}, *g]) == {"d_loss": 2.0, "g_loss": 0.5}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_with_advice(bad: float) -> None:
    with raises_user_error("epoch 1", "max_grad_norm", "amp", key="g_loss"):
        run([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(bad)}])


def test_an_infinite_gradient_norm_is_reported_and_no_error() -> None:
    assert run([{"g_gradient_norm": torch.tensor(float("inf"))}]) == {"g_gradient_norm": float("inf")}


def test_the_time_left_is_of_the_stage_since_those_after_it_may_be_slower(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = [0.0]
    monkeypatch.setattr("bus_monai.handlers.progress.time.monotonic", lambda: clock[0])

    def take_a_step(engine: Any, _batch: int) -> dict:
        clock[0] += 10 if engine.state.epoch <= 3 else 100
        return {}

    engine: Any = Engine(take_a_step)

    @engine.on(Events.EPOCH_STARTED)
    def start() -> None:
        engine.stage, engine.stage_end = ("phase 1", 3) if engine.state.epoch <= 3 else ("phase 2", 6)

    evaluator: Any = SimpleNamespace(state=SimpleNamespace(epoch=-1))
    report = EpochReport(
        evaluator=evaluator,
        checkpoint=SimpleNamespace(folder=tmp_path),  # type: ignore[arg-type]
        bundle_root=str(find_bundle("assgan")),
        dataset_dir=str(tmp_path),
    )
    lines: list[str] = []
    report.bar = SimpleNamespace(attach=lambda _engine: None, log_message=lines.append)  # type: ignore[assignment]
    report.attach(engine)
    engine.run([0], max_epochs=6)
    assert [line.partition(": ")[2] for line in lines] == [
        "about 20 s to go of phase 1",
        "about 10 s to go of phase 1",
        "",
        "about 3 min to go",
        "about 2 min to go",
        "",
    ]


def test_what_comes_next_is_said_for_each_kind_of_bundle() -> None:
    weights, data = Path("runs/my run/model.pt"), Path("BUSI")
    assert next_command(find_bundle("rdau_gan"), weights, data) == (
        "bus-monai evaluate 'rdau_gan:runs/my run/model.pt' --data BUSI --out 'runs/my run_evaluation'"
    )
    assert "--data" not in next_command(find_bundle("rdau_gan"), weights, Path(default_dataset_dir()))
    shapes = next_command(find_bundle("mass_shape"), weights, data)
    assert shapes.startswith("python -m monai.bundle run evaluating --config_file ")
    assert shapes.endswith("evaluate.json --ckpt_path 'runs/my run/model.pt' --dataset_dir BUSI")


def test_a_bundle_of_others_is_named_by_its_folder(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(find_bundle("rdau_gan") / "configs", tmp_path / "rdau_gan" / "configs")).parent
    command = next_command(bundle, Path("model.pt"), Path("BUSI"))
    assert command.startswith(f"bus-monai evaluate {bundle}:model.pt --trust --data BUSI ")


def test_the_count_is_a_metric_in_epochs_that_see_unlabeled_images() -> None:
    engine: Any = Engine(lambda *_: None)
    counts = {1: None, 2: 3.0, 3: 5.5, 4: None}

    @engine.on(Events.EPOCH_STARTED)
    def start() -> None:
        count = counts[engine.state.epoch]
        engine.uses_unlabeled = count is not None
        engine.state.trusted_images = torch.tensor(count or 0.0)

    TrustedMasks().attach(engine)
    seen: list[float | None] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(engine.state.metrics.get("trusted_images")))
    engine.run([0], max_epochs=4)
    assert seen == list(counts.values())


def test_counts_of_all_processes_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = SimpleNamespace(
        uses_unlabeled=True, state=SimpleNamespace(metrics={}, trusted_images=torch.tensor(2.0))
    )
    monkeypatch.setattr("bus_monai.handlers.progress.idist.all_reduce", lambda value: value.add_(5))
    TrustedMasks()._publish(engine)
    assert engine.state.metrics == {"trusted_images": 7.0}
    assert float(engine.state.trusted_images) == 2.0


def test_curves_have_a_panel_of_counts_where_there_are_any() -> None:
    rows = [
        {"epoch": 1.0, "g_region_loss": 0.5},
        {"epoch": 2.0, "trusted_images": 4.0},
        {"epoch": 3.0, "trusted_images": 9.0},
    ]
    panel = curves_figure(rows).axes[3]
    assert panel.get_title() == "Unlabeled images trusted"
    assert panel.lines[0].get_xydata().tolist() == [[2.0, 4.0], [3.0, 9.0]]
    assert len(curves_figure(rows[:1]).axes) == 3
