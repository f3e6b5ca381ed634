from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bus_monai.data.datalist import Datalist, read_datalist, write_datalist
from bus_monai.errors import UserError
from bus_monai.inference.models import TrainedModel, parse_models
from bus_monai.label.fine_tune import fine_tune
from bus_monai.label.model_versions import ModelVersions
from bus_monai.registry import find_bundle
from bus_monai.report.files import read_history
from bus_monai.settings import read_settings

ONE_EPOCH = {"max_epochs": 1, "batch_size": 2}
WriteData = Callable[[Path], Datalist]


@pytest.fixture
def write_data(small_phantoms: Path) -> WriteData:
    """Eight labelled images, and four that the semi-supervised may use."""

    def write(folder: Path) -> Datalist:
        whole = read_datalist(small_phantoms)
        cases = {}
        for name, part in (
            ("training", whole.training[:4]),
            ("validation", whole.validation[:2]),
            ("test", whole.test[:2]),
            ("unlabeled", whole.training[4:8]),
        ):
            for case in part:
                for path in (case.image, *case.masks):
                    (folder / path.name).write_bytes(path.read_bytes())
            masks = [() if name == "unlabeled" else tuple(folder / m.name for m in case.masks) for case in part]
            cases[name] = [
                replace(case, image=folder / case.image.name, masks=mask, diagnosis="unknown")
                for case, mask in zip(part, masks, strict=True)
            ]
        write_datalist(folder, Datalist.of(cases))
        return read_datalist(folder)

    return write


@pytest.fixture
def versions(small_weights: Path, tmp_path: Path) -> ModelVersions:
    (model,) = parse_models([f"small=baseline:{small_weights}"])
    return ModelVersions(tmp_path / "versions", model)


def _scores(monkeypatch: pytest.MonkeyPatch, before: float, after: float) -> None:
    scores = iter([before, after])
    monkeypatch.setattr("bus_monai.label.fine_tune.held_out_score", lambda model, datalist: next(scores))


@pytest.mark.parametrize(("after", "active"), [(0.5, 1), (0.49, 0)])
def test_only_what_is_not_worse_becomes_active(
    after: float, active: int, versions: ModelVersions, write_data: WriteData, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scores(monkeypatch, 0.5, after)
    report = fine_tune(versions, write_data, ONE_EPOCH | {"lr": 0.0})
    assert (report["version"], report["activated"]) == (1, bool(active))
    assert versions.active == active
    assert report["images"] == {"training": 4, "validation": 2, "test": 2, "unlabeled": 4}
    # a rate of 0 shows that the training began with the weights of the active model
    start = torch.load(versions.start.files[0], weights_only=True)
    trained = torch.load(versions.model(1).files[0], weights_only=True)
    learnt = [name for name in start if "running" not in name and "num_batches" not in name]
    assert learnt
    for name in learnt:
        torch.testing.assert_close(trained[name], start[name], msg=name)
    assert versions.model(1).settings["network_options"] == versions.start.settings["network_options"]


def test_a_training_that_may_not_go_on_leaves_nothing(versions: ModelVersions, write_data: WriteData) -> None:
    assert fine_tune(versions, write_data, ONE_EPOCH, go_on=lambda: False) == {"stopped": True}
    assert versions.info() == {"active": 0, "versions": []}


def test_an_ensemble_is_not_trained(small_weights: Path, tmp_path: Path, write_data: WriteData) -> None:
    (model,) = parse_models([f"both=baseline:{small_weights},{small_weights}"])
    message = r"^'both' is an ensemble, which cannot be trained further: offer one of its files\.$"
    with pytest.raises(UserError, match=message):
        fine_tune(ModelVersions(tmp_path / "versions", model), write_data, ONE_EPOCH)


def test_assgan_learns_from_images_without_labels(
    tmp_path: Path, write_data: WriteData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bus_monai.networks.mutual_generators import MutualGenerators

    torch.manual_seed(0)
    torch.save(MutualGenerators(backbone="resnet18").state_dict(), tmp_path / "model.pt")
    settings = {"image_size": [32, 32], "labeled_fraction": 0.2}
    model = TrainedModel("assgan", find_bundle("assgan"), str(tmp_path / "model.pt"), settings)
    _scores(monkeypatch, 0.0, 0.0)
    versions = ModelVersions(tmp_path / "versions", model)
    fine_tune(versions, write_data, {"max_epochs": 2, "batch_size": 2})
    weights = versions.model().files[0]
    assert read_settings(weights)["labeled_fraction"] is None
    assert ["trusted_images" in row for row in read_history(weights.parent)] == [False, True]
