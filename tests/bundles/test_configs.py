"""What a reader of MONAI's model zoo finds in the configs of every bundle, and how they are run."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow
from PIL import Image

from bus_monai.bundle.declared import check_settings, declared_settings
from bus_monai.bundle.registry import find_bundle, list_bundles, output_format
from bus_monai.bundle.settings import read_config, set_by_user
from bus_monai.errors import user_error
from bus_monai.experiments.search import parse_space, read_preset

BUNDLES = {info.name: info.root / "configs" for info in list_bundles()}
RUN = {"train": "training", "evaluate": "evaluating", "inference": "inferring"}
MAX_EXPRESSIONS = 20


@pytest.fixture(params=BUNDLES)
def configs(request: pytest.FixtureRequest) -> Path:
    return BUNDLES[request.param]


def read(configs: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((configs / f"{name}.json").read_text(encoding="utf-8"))
    return content


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("name", [*RUN, "multi_gpu_train"])
def test_most_of_a_config_is_no_code(configs: Path, name: str) -> None:
    assert sum(text.startswith("$") for text in texts(read(configs, name))) <= MAX_EXPRESSIONS


def test_settings_are_a_group_and_plain_values(configs: Path) -> None:
    settings = read(configs, "train")["settings"]
    assert {"seed", "max_epochs", "batch_size", "protocol"} <= settings.keys()
    assert not any(isinstance(value, dict) and "_target_" in value for value in settings.values())


def measured_settings(configs: Path) -> dict[str, Any]:
    """Return those that a training does not know, since they are measured with its weights."""
    return {key: value for key, value in read(configs, "evaluate")["settings"].items() if key == "lesion_calibration"}


def test_every_setting_declares_a_type_that_its_default_has(configs: Path) -> None:
    declared = declared_settings(configs.parent)
    assert [key for key, schema in declared.items() if "type" not in schema] == []
    defaults = read_config(configs / "train.json")["settings"]
    assert declared.keys() == {*defaults, "val_interval", *measured_settings(configs)}
    for choice in (
        {},
        {"paper_literal": True},
        {"method": "hung"},
        {"gan_mode": "parent_literal"},
        {"val_interval": 3},
    ):
        known = {key: value for key, value in choice.items() if key in declared}
        parser = ConfigParser({"settings": defaults | known})
        # as a training writes them beside its weights
        check_settings(json.loads(json.dumps(parser.get_parsed_content("settings"))), configs.parent, "It")


def plain_text(value: Any) -> str:
    """Write a default as the cards do."""
    if isinstance(value, list):
        return f"[{', '.join(map(plain_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


@cache
def parsed_settings(bundle: str) -> ConfigParser:
    settings = read_config(BUNDLES[bundle] / "train.json")["settings"] | measured_settings(BUNDLES[bundle])
    return ConfigParser({"settings": settings})


def told(bundle: str, key: str) -> str:
    return plain_text(parsed_settings(bundle).get_parsed_content(f"settings#{key}"))


def first_words(text: str, separator: str) -> list[str]:
    """Return with what each part of a cell begins, where separators in brackets are none."""
    parts = re.split(rf"{separator}\s*(?![^\[(]*[\])])", text)
    begins = (re.match(r"`?(\[[^\]]*\]|[\w.-]+)", part.strip()) for part in parts)
    words = [begin[1] if begin else "" for begin in begins]
    return [f"{float(word):g}" if re.fullmatch(r"[\d.]+(e-?\d+)?", word) else word for word in words]


def test_cards_tell_the_defaults(configs: Path) -> None:
    """In tables whose head says "default first": of one key, or of several at once, or their values by semicolons."""
    card = (configs.parent / "docs" / "README.md").read_text(encoding="utf-8")
    wrong = []
    for table in re.findall(r"^\|[^\n]*default first[^\n]*\n\|[-|]+\n((?:\|.*\n)+)", card, flags=re.MULTILINE):
        for keys, values in re.findall(r"^\| (.*?) \| (.*) \|$", table, flags=re.MULTILINE):
            names = re.findall(r"`(\w+)`", keys)
            other = re.match(r"as in `(\w+)`", values)
            expected = [told(configs.parent.name, name) for name in names]
            if other:
                readings = [[told(other[1], name) for name in names]]
            else:
                readings = [first_words(values.partition(";")[0], ",")[: len(names)], first_words(values, ";")]
                readings[1] = readings[1][: len(names)]
            if expected not in readings:
                wrong.append((keys, expected, readings))
    assert wrong == []


def test_presets_are_of_declared_types(configs: Path) -> None:
    file = configs / "sweeps.json"
    for name in json.loads(file.read_text()) if file.is_file() else ():
        for choice in parse_space(read_preset(configs.parent, name)):
            for value in choice.values:
                check_settings({choice.key: value}, configs.parent, "It")


def test_a_plain_name_means_one_key(configs: Path) -> None:
    for name in RUN:
        content = read_config(configs / f"{name}.json")
        assert not content.keys() & content["settings"].keys()


def test_what_stands_plain_beside_the_settings_is_of_the_machine(configs: Path) -> None:
    content = read_config(configs / "train.json")
    beside = set_by_user(content).keys() - content["settings"].keys()
    folders = {"output_dir", "ckpt_dir", "ckpt_path"}
    optional = {"boxes"} & content.keys()
    of_monai = {"device", "val_interval"}
    assert beside == folders | optional | of_monai | {"num_workers", "resume", "run_name", "parent_run", "skip_broken"}


def test_the_network_stands_in_the_configs_alone(configs: Path) -> None:
    train, inference, metadata = (read(configs, name) for name in ("train", "inference", "metadata"))
    assert train["network_def"] == inference["network_def"]
    assert "_target_" not in json.dumps(metadata)
    assert not any("_meta_" in text for name in RUN for text in texts(read(configs, name)))


def test_inference_and_training_share_the_defaults_of_settings(configs: Path) -> None:
    train, inference = (read(configs, name)["settings"] for name in ("train", "inference"))
    # a training knows no operating points, the weights that ship have theirs; it looks for a region if its box is full
    shared = (train.keys() & inference.keys()) - {"presence_shifts", "crop_region"}
    assert {key: train[key] for key in shared} == {key: inference[key] for key in shared}


def same(own: Any, below: Any, path: str) -> Iterator[str]:
    """Yield what a config repeats of the one below it, at any depth, but for what kind of component it is."""
    if own == below:
        yield path
    elif isinstance(own, dict) and isinstance(below, dict) and own.get("_target_") == below.get("_target_"):
        for key in own.keys() & below.keys() - {"_target_"}:
            yield from same(own[key], below[key], f"{path}#{key}")


def test_configs_hold_what_differs(configs: Path) -> None:
    """Nothing is repeated but the network, and what names or runs the config itself."""
    own = {"bundle_root", "config", "device", "settings", "network_def", "rdau_options", "cgan_options"}
    for name, base in (("train", "inference"), ("evaluate", "train")):
        content, below = read(configs, name), read_config(configs / f"{base}.json")
        assert content["extends"] == f"{base}.json"
        repeated = {path for key in content.keys() & below.keys() - own for path in same(content[key], below[key], key)}
        assert repeated <= {"postprocessing"}
    train, several = (read(configs, name) for name in ("train", "multi_gpu_train"))
    parser = ConfigParser(train)
    assert [key for key, value in several.items() if key in parser and parser[key] == value] == []


def test_the_parts_around_the_network_have_names(configs: Path) -> None:
    if output_format(configs.parent) == "segmentation":
        content = read(configs, "inference")
        assert content["preprocessing"]["transforms"] == ["@load", "@before_network"]
        assert content["postprocessing"]["transforms"] == ["@after_network", "@save"]


def test_no_order_of_keys_matters(configs: Path, tmp_path: Path) -> None:
    for name in RUN:
        content = read_config(configs / f"{name}.json")
        (tmp_path / "a.json").write_text(json.dumps(content))
        (tmp_path / "b.json").write_text(json.dumps(content, sort_keys=True))
        first, second = (read_config(tmp_path / f"{file}.json") for file in "ab")
        assert set_by_user(first) == set_by_user(second)


@pytest.mark.parametrize("name", RUN)
def test_monais_default_name_runs_the_config(configs: Path, name: str) -> None:
    content = read(configs, name)
    assert isinstance(content["run"], list)
    assert content[RUN[name]] == "%run"
    # a file runs what it is for, and not what it extends
    assert {key for key in RUN.values() if key in read_config(configs / f"{name}.json")} == {RUN[name]}


def complete(*files: Path, **given: Any) -> ConfigWorkflow:
    workflow = ConfigWorkflow([str(file) for file in files], workflow_type=None, logging_file=False, **given)
    workflow.parser["initialize"] = ["@config"]
    workflow.initialize()
    return workflow


def setting(workflow: ConfigWorkflow, name: str) -> Any:
    return workflow.parser.get_parsed_content(f"settings#{name}")


@pytest.mark.parametrize("given", [{"max_epochs": 3}, {"settings#max_epochs": 3}])
def test_settings_are_given_by_their_plain_names_or_in_the_group(given: dict[str, Any]) -> None:
    workflow = complete(BUNDLES["rdau_gan"] / "train.json", **given)
    assert setting(workflow, "max_epochs") == 3
    assert workflow.parser.get_parsed_content("config")["settings"]["max_epochs"] == 3
    assert "max_epochs" not in workflow.parser.get()


def test_words_of_the_command_line() -> None:
    workflow = complete(BUNDLES["rdau_gan"] / "train.json", use_gate="false", resume="True", max_grad_norm="null")
    assert (setting(workflow, "use_gate"), setting(workflow, "max_grad_norm")) == (False, None)
    assert workflow.parser.get_parsed_content("resume") is True


@pytest.mark.parametrize(
    ("name", "given", "key"),
    [
        ("train", {"max_epoch": 3}, "max_epoch"),
        ("train", {"settings#max_epoch": 3}, "settings#max_epoch"),
        ("train", {"ckpt_path": "a.pt"}, "ckpt_path"),
        ("evaluate", {"threshhold": 0.4}, "threshhold"),
    ],
)
def test_a_misspelled_key_is_an_error(name: str, given: dict[str, Any], key: str) -> None:
    with pytest.raises(RuntimeError) as raised:
        complete(BUNDLES["rdau_gan"] / f"{name}.json", **given)
    assert f"'{key}'" in str(user_error(raised.value))


def test_evaluation_is_read_alone_and_over_training() -> None:
    configs = BUNDLES["rdau_gan"]
    alone = complete(configs / "evaluate.json", image_size=[64, 64]).parser
    over = complete(configs / "train.json", configs / "evaluate.json", image_size=[64, 64]).parser
    # what the file of training calls its own
    del over.get()["training"]
    assert alone.get() == over.get()
    assert alone["settings"]["image_size"] == [64, 64]


def test_a_bundle_may_lie_anywhere(tmp_path: Path) -> None:
    shutil.copytree(find_bundle("rdau_gan") / "configs", tmp_path / "mine" / "configs")
    parser = complete(tmp_path / "mine" / "configs" / "evaluate.json").parser
    assert parser.get_parsed_content("ckpt_path") == f"{tmp_path}/mine/models/model.pt"
    given = complete(tmp_path / "mine" / "configs" / "evaluate.json", bundle_root="elsewhere").parser
    assert given.get_parsed_content("output_dir") == "elsewhere/eval"


def test_a_config_runs_without_an_id_and_without_initialize(small_phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = min((small_phantoms / "images").iterdir())
    shutil.copy(image, tmp_path / "images")
    hook = sys.excepthook
    ConfigWorkflow(
        str(BUNDLES["lite_unet"] / "inference.json"), workflow_type="infer", image_size=[64, 64], device="cpu",
        dataset_dir=str(tmp_path / "images"), output_dir=str(tmp_path / "out"), threshold=2.0,
    ).run()  # fmt: skip
    (mask,) = (tmp_path / "out").iterdir()
    assert mask.name == f"{image.stem}_mask.png"
    # nothing is more probable than 1
    assert not np.asarray(Image.open(mask)).any()
    assert sys.excepthook is hook
