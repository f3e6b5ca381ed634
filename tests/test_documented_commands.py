"""Every command on README, docs and cards names programs, options, settings and presets that exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bus_monai.bundle.registry import list_bundles
from bus_monai.bundle.settings import read_config, set_by_user
from bus_monai.cli.main import app
from bus_monai.errors import UserError
from bus_monai.experiments.search import read_preset
from tests.conftest import ROOT

BUNDLES = {info.name: info.root for info in list_bundles()}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "docs" / "reference" / "python.md"]
PAGES += [ROOT / folder / "README.md" for folder in ("benchmarks", "docker")]
PAGES += [root / "docs" / "README.md" for root in BUNDLES.values()]
PROGRAMS = ("bus-monai", "python", "make", "torchrun")
OTHERS = ("docker", "echoscu", "mlflow", "pip", "pytest", "sed")
"""Programs of others, whose options nobody checks here."""
_VARIABLES = r"(?:[A-Z_]+=(?:\$\([^)]*\)|\S*) +)*"
_COMMAND = re.compile(
    rf"^ {{4,}}({_VARIABLES}(?:\.venv/bin/)?(?:{'|'.join((*PROGRAMS, *OTHERS))}) .*)$"
    rf"|(?<=\| )`((?:{'|'.join((*PROGRAMS, *OTHERS))}) [^`]*)`(?= \|)",
    re.MULTILINE,
)


def lines() -> list[tuple[str, str]]:
    """Page and text of each command of a known program: indented, or alone in a cell of a table.

    Lines that end in a backslash are joined.
    """
    found = []
    for page in PAGES:
        for indented, cell in _COMMAND.findall(page.read_text().replace("\\\n", " ")):
            # a subcommand alone is a name
            if not re.fullmatch(r"bus-monai \w+", cell):
                found += [(page.relative_to(ROOT).as_posix(), line) for line in (indented or cell).split(" && ")]
    return found


def words_of(line: str) -> list[str]:
    """Split without variables before the program and without the signs of what is optional."""
    line = re.sub(rf"^{_VARIABLES}(?:\.venv/bin/)?", "", line)
    return shlex.split(re.sub(r"\[(--(?:[^][]|\[[^][]*\])*)\]", r"\1", line), comments=True)


def commands() -> list[tuple[str, list[str]]]:
    """Page and words of each command of ours."""
    found = [(page, words_of(line)) for page, line in lines()]
    # a subcommand alone is a name
    return [
        (page, words) for page, words in found if words[0] in PROGRAMS and (words[0], len(words)) != ("bus-monai", 2)
    ]


COMMANDS = commands()


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0].rstrip("]") for word in words if word.startswith("--")]


def values(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def config(bundle: str, name: str) -> dict[str, Any]:
    """The keys of a config that a command can set: settings by their plain names, and all others."""
    return keys_of(BUNDLES[bundle] / "configs" / f"{name}.json")


def keys_of(file: Path) -> dict[str, Any]:
    content = read_config(file)
    return content | set_by_user(content) if "settings" in content else content


def check_keys(keys: list[str], settings: dict[str, Any]) -> None:
    assert [key for key in keys if key.partition("#")[0] not in settings] == []


def check_bus_monai(words: list[str]) -> None:
    command: Any = get_command(app)
    # what serves may be given options or a command of its own
    while hasattr(command, "commands") and not (words and words[0].startswith("-") and command.invoke_without_command):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
    given = options(words)
    if command.name == "train":
        check_keys([option[2:] for option in given if option != "--help"], config(words[0], "train"))
        return
    known = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    assert set(given) <= known
    if command.name == "sweep":
        varied = [word.partition("=")[0] for option in ("--vary", "--set") for word in values(words, option)]
        check_keys(varied, config(words[0], "train"))
        for name in values(words, "--preset"):
            read_preset(BUNDLES[words[0]], name)


def check_python(words: list[str]) -> None:
    if words[:3] == ["-m", "monai.bundle", "run"]:
        (files,) = values(words, "--config_file")
        settings: dict[str, Any] = {}
        for file in files.strip("[]").replace("'", "").split(","):
            settings |= keys_of(ROOT / file)
        check_keys([words[3], *(option[2:] for option in options(words[4:]) if option != "--config_file")], settings)
    elif words[0] == "-m":
        assert importlib.util.find_spec(words[1])
    elif words[0] == "-c":
        exec("\n".join(line for line in words[1].split("; ") if "import " in line), {})
    else:
        source = (ROOT / words[0]).read_text()
        assert [option for option in options(words) if f'"{option}"' not in source] == []


def check(words: list[str]) -> None:
    program, *rest = words
    if program == "bus-monai":
        check_bus_monai(rest)
    elif program == "python":
        check_python(rest)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        check_python(rest[rest.index("-m") :])


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(COMMANDS)])
def test_command_exists(page: str, words: list[str]) -> None:
    check(words)


@pytest.mark.parametrize(
    "line",
    [
        "bus-monai segmend A",
        "bus-monai segment A --oout B",
        "bus-monai train rdau_gan --no_such_key 1",
        "bus-monai sweep assgan --preset none --out A",
        "python -m monai.bundle run training --config_file bundles/rdau_gan/configs/train.json --no_such_key 1",
        "python benchmarks/export.py --no-such-option",
        "make nothing",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises((AssertionError, UserError)):
        check(shlex.split(line))
