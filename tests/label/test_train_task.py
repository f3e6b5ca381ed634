from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bus_monai.bundle.models import TrainedModel, parse_models
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.settings import read_settings
from bus_monai.data.datalist import Datalist, read_datalist, write_datalist
from bus_monai.data.readers.own_images import LabeledImage
from bus_monai.io.image import read_masks
from bus_monai.label.model_versions import ModelVersions
from bus_monai.report.page import read_history
from tests.user_errors import raises_user_error

ONE_EPOCH = {"max_epochs": 1, "batch_size": 2}
WriteData = Callable[[Path], Datalist]


@pytest.fixture(scope="module")
def train_task(label_module: Callable[[str], ModuleType]) -> ModuleType:
    return label_module("train_task")


@pytest.fixture
def write_data(small_phantoms: Path) -> WriteData:
    """Eight labeled images, and four that the semi-supervised may use."""

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


def _scores(monkeypatch: pytest.MonkeyPatch, before: list[float], after: list[float]) -> None:
    scores = iter([before, after])
    monkeypatch.setattr("bus_monai.label.train_task.held_out_scores", lambda model, cases: next(scores))


def test_what_is_better_on_enough_images_becomes_active(
    train_task: ModuleType, versions: ModelVersions, write_data: WriteData, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scores(monkeypatch, [0.5, 0.6], [0.6, 0.8])
    monkeypatch.setattr("bus_monai.label.model_versions.MIN_INDEPENDENT", 2)
    report = train_task.fine_tune(versions, write_data, ONE_EPOCH | {"lr": 0.0})
    assert (report["version"], report["activated"], versions.active) == (1, True, 1)
    assert report["images"] == {"training": 4, "validation": 2, "test": 2, "unlabeled": 4}
    comparison = report["comparison"]
    assert (comparison["independent"], comparison["at_least"]) == (2, 2)
    found = [comparison[key] for key in ("dice_before", "dice", "difference", "low", "high")]
    assert found == pytest.approx([0.55, 0.7, 0.15, 0.1, 0.2])
    for fact in ("Version 1 of small", "version 0", "2 independent images"):
        assert fact in report["verdict"]
    assert versions.info()["versions"][0] == report
    # a rate of 0 shows that the training began with the weights of the active model, and kept its statistics
    start = torch.load(versions.start.files[0], weights_only=True)
    trained = torch.load(versions.model(1).files[0], weights_only=True)
    assert any("running_mean" in name for name in start)
    for name, value in start.items():
        torch.testing.assert_close(trained[name], value, msg=name)
    assert versions.model(1).settings["network_options"] == versions.start.settings["network_options"]


def test_a_training_that_may_not_go_on_leaves_nothing(
    train_task: ModuleType, versions: ModelVersions, write_data: WriteData
) -> None:
    assert train_task.fine_tune(versions, write_data, ONE_EPOCH, go_on=lambda: False) == {"stopped": True}
    assert versions.info() == {"active": 0, "versions": [], "activations": []}


@pytest.mark.parametrize(
    ("request_", "key", "says"),
    [
        ({"lr": "$__import__('os').abort()"}, "lr", "run or look up"),
        ({"network_options": {"_target_": "os.abort"}}, "network_options#_target_", "run or look up"),
        ({"image_size": ["@lr", 32]}, "image_size#0", "run or look up"),
        ({"lrr": 0.1}, "lrr", "did you mean 'lr'?"),
        ({"max_epochs": 10**9}, "max_epochs", "100000"),
        ({"output_dir": "elsewhere"}, "output_dir", "baseline"),
        ({"resume": True}, "resume", "baseline"),
        ({"experiment_name": "../elsewhere"}, "experiment_name", "no file"),
    ],
)
def test_a_request_holds_plain_settings_of_the_bundle(
    train_task: ModuleType, versions: ModelVersions, request_: dict[str, Any], key: str, says: str
) -> None:
    task = train_task.FineTuneTask(versions)
    with raises_user_error("The request", key, says, key=key):
        task.settings({"model": "small", "gpus": "all", **request_})
    with pytest.raises(SystemExit) as stop:  # before any label is read
        task({"model": "small", **request_}, None)
    assert key in str(stop.value)
    assert task.settings({"model": "small", "client_id": "x", "max_epochs": 3}) == {"max_epochs": 3}


def test_no_training_takes_settings_that_are_code(
    train_task: ModuleType, versions: ModelVersions, write_data: WriteData
) -> None:
    with raises_user_error(key="lr"):
        train_task.fine_tune(versions, write_data, {"lr": "$1"})


def test_an_ensemble_is_not_trained(
    train_task: ModuleType, small_weights: Path, tmp_path: Path, write_data: WriteData
) -> None:
    (model,) = parse_models([f"both=baseline:{small_weights},{small_weights}"])
    with raises_user_error("both"):
        train_task.fine_tune(ModelVersions(tmp_path / "versions", model), write_data, ONE_EPOCH)


def test_assgan_learns_from_images_without_labels(
    train_task: ModuleType, tmp_path: Path, write_data: WriteData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bus_monai.networks.mutual_generators import MutualGenerators

    torch.manual_seed(0)
    torch.save(MutualGenerators(backbone="resnet18").state_dict(), tmp_path / "model.pt")
    settings = {"image_size": [32, 32], "labeled_fraction": 0.2, "g_lr": 0.5}
    model = TrainedModel("assgan", find_bundle("assgan"), str(tmp_path / "model.pt"), settings)
    _scores(monkeypatch, [0.0, 0.0], [0.1, 0.1])
    monkeypatch.setattr("bus_monai.label.model_versions.MIN_INDEPENDENT", 2)
    versions = ModelVersions(tmp_path / "versions", model)
    train_task.fine_tune(versions, write_data, {"max_epochs": 2, "batch_size": 2})
    weights = versions.model().files[0]
    assert read_settings(weights)["labeled_fraction"] is None
    assert read_settings(weights)["g_lr"] == 1e-5  # a tenth of the bundle's
    assert ["trusted_images" in row for row in read_history(weights.parent)] == [False, True]


names = st.sets(st.integers(0, 9999), min_size=15, max_size=30).map(lambda numbers: [f"patient {n}" for n in numbers])


@given(names)
def test_each_section_has_a_patient(train_task: ModuleType, groups: list[str]) -> None:
    sections = train_task.split_patients(groups)
    assert sorted(sections) == sorted(groups)
    assert set(sections.values()) == {"training", "validation", "test"}


@given(names, names)
def test_more_labels_never_test_what_was_trained_on(train_task: ModuleType, first: list[str], more: list[str]) -> None:
    before, after = train_task.split_patients(first), train_task.split_patients(sorted({*first, *more}))
    trained = {group for group, section in before.items() if section == "training"}
    assert not [group for group in trained if after[group] != "training"]


def test_shares_of_many_patients(train_task: ModuleType) -> None:
    counts = Counter(train_task.split_patients([f"patient {n}" for n in range(2000)]).values())
    assert counts["test"] == pytest.approx(400, abs=50)
    assert counts["validation"] == pytest.approx(200, abs=50)


def test_two_patients_are_too_few(train_task: ModuleType) -> None:
    with raises_user_error(2):
        train_task.split_patients(["a", "b"])


def _labeled(folder: Path, count: int, accepted: tuple[int, ...] = ()) -> list[LabeledImage]:
    labels = []
    for n in range(count):
        image, label = folder / f"{n}.png", folder / f"label{n}.png"
        Image.fromarray(np.full((6, 8), 100 + n, np.uint8)).save(image)
        values = np.zeros((6, 8), np.uint8)
        values[1, : n + 1] = min(n, 2)  # none, one lesion, the second of two
        Image.fromarray(values).save(label)
        info = {"origin": "accepted" if n in accepted else "drawn", "fields": {"diagnosis": "benign"}}
        labels.append(LabeledImage(f"sub/{n}", image, label, info))
    return labels


def test_labels_become_a_data_set(train_task: ModuleType, tmp_path: Path) -> None:
    *labels, rest = _labeled(tmp_path, 4)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    folder = tmp_path / "data"
    folder.mkdir()

    images = {one.name: one.image for one in (*labels, rest)}
    train_task.write_training_data(labels, images | {"broken": broken}, folder)

    datalist = read_datalist(folder)
    cases = [case for name in ("training", "validation", "test") for case in getattr(datalist, name)]
    found = {case.group: (int(read_masks(case.masks, (6, 8)).sum()), case.diagnosis) for case in cases}
    assert found == {"sub/0": (0, "normal"), "sub/1": (2, "benign"), "sub/2": (3, "benign")}
    assert [case.group for case in datalist.unlabeled] == ["sub/3"]


def test_what_was_accepted_is_trained_on_at_most(train_task: ModuleType, tmp_path: Path) -> None:
    def split(name: str, accepted: tuple[int, ...]) -> dict[str, set[str]]:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        datalist = train_task.write_training_data(_labeled(folder, 8, accepted), {}, folder / "data")
        return {section: {case.group for case in cases} for section, cases in datalist.sections()}

    by_hand = split("by hand", ())
    assert sum(map(len, by_hand.values())) == 8
    numbers = [int(name[4:]) for section in ("test", "validation") for name in sorted(by_hand[section])]
    some = split("some", tuple(numbers[:-2]))
    evidence = some["test"] | some["validation"]
    assert not evidence & {f"sub/{n}" for n in numbers[:-2]}
    # nothing is trained on that is held out once it is corrected
    assert some["training"] <= by_hand["training"]
    last = int(max(by_hand["training"])[4:])
    assert split("one", (last,))["training"] == by_hand["training"]
    with raises_user_error(2):
        split("few", tuple(range(6)))
