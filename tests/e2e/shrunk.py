"""The commands of the pages made small, one rule per kind. Words of a page stay but for what a rule replaces."""

from __future__ import annotations

from collections.abc import Mapping

from tests.test_documented_commands import config

TRAINING = {
    "max_epochs": "1",
    "phase1_epochs": "1",
    "pretrain_epochs": "0",
    "batch_size": "2",
    "image_size": "[64, 64]",
    "class_weights": "false",
    "val_interval": "1",
}
"""Keys of ``train.json``, where a bundle has them. A dozen masses may lack a shape, which class weights refuse."""
ASSGAN = {"max_epochs": "2"}
"""Its epochs are counted over both phases."""
PHANTOMS = {"--count": ["12"]}
BENCHMARKS: Mapping[str, Mapping[str, list[str]]] = {
    "audit.py": {},
    "cine.py": {"--repeats": ["1"]},
    "clicks.py": {"--images": ["2"], "--methods": ["walk", "paint"]},
    "export.py": {"--rounds": ["1"], "--timed": ["1"]},
    "gpu.py": {"--bundles": ["lite_unet"]},
    "inference.py": {"--networks": ["erfnet"], "--rounds": ["1"], "--calls": ["1"]},
    "learning_loop.py": {
        "--strategies": ["random", "diversity"], "--seeds": ["0"], "--rounds": ["2"], "--batch": ["2"],
        "--steps": ["1"], "--size": ["64"],
    },
    "ray_engine.py": {"--images": ["3"], "--size": ["64", "80"], "--rounds": ["1"]},
    "scale.py": {"--files": ["4"], "--size": ["64", "96"], "--rounds": ["1"], "--validate": ["4"]},
    "segment.py": {"--images": ["3"], "--rounds": ["1"], "--memory": ["2", "4"]},
    "train_step.py": {"--bundles": ["lite_unet"], "--images": ["4"], "--size": ["64"], "--repeats": ["1"]},
}  # fmt: skip


def shrunk(words: list[str]) -> list[str]:
    """Return the command, small."""
    if "--help" in words:
        return words
    if words[:2] == ["bus-monai", "train"]:
        return with_options(words, training(words[2]))
    if words[:2] == ["bus-monai", "sweep"]:
        sets = [word for key, (value,) in training(words[2]).items() for word in ("--set", f"{key[2:]}={value}")]
        return [*without_sets(words), *sets, *([] if "--folds" in words else ["--trials", "2"])]
    if words[:3] == ["bus-monai", "data", "phantoms"]:
        return with_options(words, PHANTOMS)
    if "monai.bundle" in words and "training" in words:
        bundle = words[words.index("--config_file") + 1].split("bundles/")[1].partition("/")[0]
        return with_options(words, training(bundle))
    if words[0] == "python" and words[1].startswith("benchmarks/"):
        return with_options(words, BENCHMARKS[words[1].partition("/")[2]])
    return words


def training(bundle: str) -> dict[str, list[str]]:
    """Return the options that make a training of the bundle short."""
    known = config(bundle, "train")
    small = TRAINING | (ASSGAN if bundle == "assgan" else {})
    return {f"--{key}": [value] for key, value in small.items() if key in known}


def without_sets(words: list[str]) -> list[str]:
    """Return a sweep without ``--set`` of what is set anew."""
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] == "--set" and word.partition("=")[0] in TRAINING:
            kept.pop()
        else:
            kept.append(word)
    return kept


def with_options(words: list[str], options: Mapping[str, list[str]]) -> list[str]:
    """Return the words with each option at new values, the last ones given."""
    kept: list[str] = []
    replaced = False
    for word in words:
        if word.startswith("--"):
            replaced = word in options
        if not replaced:
            kept.append(word)
    return [*kept, *(word for option, values in options.items() for word in (option, *values))]
