"""The config file of a node (TOML): one key per option of the command, and rules for what is segmented."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from bus_monai.dicom.read import header_text
from bus_monai.errors import NotAssessedError, UserError, check_choice, reading
from bus_monai.io.opened import OpenedSource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SEGMENT, NOT_ASSESSED = "segment", "not assessed"
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "calling": (),
    "modality": ("Modality",),
    "body_part": ("BodyPartExamined",),
    "description": ("StudyDescription", "SeriesDescription"),
    "station": ("StationName",),
}
"""What a rule may ask for, and which attributes of an instance hold it; ``calling`` is the sender's AE title."""
RULES_KEY = "rules"


@dataclass(frozen=True)
class Rule:
    """Instances, and what is to be done with them.

    Args:
        do: ``segment`` or ``not assessed``.
        patterns: by a key of ``ATTRIBUTES``; ``*`` stands for any letters, ``?`` for one, upper and lower case are
            alike. All keys must match, each by any of its patterns and any of its attributes; what an instance does
            not say is empty.

    Example:
        >>> rule = Rule("segment", {"calling": ["US*"], "body_part": ["breast", ""]})
        >>> rule.matches("us1", Dataset()), rule.matches("CT1", Dataset())
        (True, False)
    """

    do: str
    patterns: Mapping[str, Sequence[str]]

    def matches(self, calling: str, header: Dataset) -> bool:
        """Tell whether an instance of that sender is meant."""
        return all(
            any(
                fnmatchcase(value.casefold(), pattern.casefold())
                for value in (
                    [calling] if key == "calling" else [header_text(header, word) for word in ATTRIBUTES[key]]
                )
                for pattern in patterns
            )
            for key, patterns in self.patterns.items()
        )


def check_wanted(rules: Sequence[Rule], calling: str, source: OpenedSource) -> None:
    """Check that the first rule that matches an instance wants it segmented; where there are no rules, all are.

    Raises:
        NotAssessedError: it does not, or none matches.
    """
    for number, rule in enumerate(rules, start=1):
        if rule.matches(calling, source.header):
            if rule.do == SEGMENT:
                return
            raise NotAssessedError(f"Rule {number} of the config leaves it out: change that one to have it segmented.")
    if rules:
        raise NotAssessedError("No rule of the config wants it: add one to have it segmented.")


def read_config(path: Path, options: Iterable[str]) -> tuple[dict[str, Any], list[Rule]]:
    """Read options, by the names of Python (``send_to``), and rules.

    Args:
        path: of the file.
        options: names that there are; in the file they may have dashes.

    Raises:
        UserError: the file cannot be read, or holds a key or a rule that there is not.
    """
    with reading(path, "TOML", errors=(tomllib.TOMLDecodeError, UnicodeDecodeError), remedy="correct it"):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    rules = content.pop(RULES_KEY, [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise UserError(f"'rules' of '{path}' is no list of tables: write [[rules]].", path=path, key=RULES_KEY)
    known = list(options)
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            check_choice(key, key, [*known, RULES_KEY], where=f"'{path}'")
        if isinstance(value, dict) or name in found:
            raise UserError(f"'{key}' of '{path}' is a table, or comes twice: write {key} = VALUE once.", path=path)
        found[name] = value
    return found, [_rule(rule, number, path) for number, rule in enumerate(rules, start=1)]


def _rule(rule: Mapping[str, Any], number: int, path: Path) -> Rule:
    where = f"rule {number} of '{path}'"
    check_choice("do", rule.get("do"), (SEGMENT, NOT_ASSESSED), where=where)
    patterns = {}
    for key, value in rule.items():
        if key == "do":
            continue
        check_choice("key", key, ("do", *ATTRIBUTES), where=where)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"'{key}' of {where} is no text: write a pattern, or a list of some.", path=path, key=key)
        patterns[key] = texts
    return Rule(str(rule["do"]), patterns)
