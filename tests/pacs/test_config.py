"""The config file of a node: its keys, its rules, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from bus_monai.errors import NotAssessedError
from bus_monai.io.opened import open_source
from bus_monai.pacs.config import Rule, check_wanted, read_config
from tests.inference.segment_files import ultrasound
from tests.user_errors import raises_user_error

OPTIONS = ("send_to", "port", "allow")


def config(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_options_and_rules(tmp_path: Path) -> None:
    path = config(
        tmp_path, 'send-to = "A@b:1"\nport = 7\nallow = ["X"]\n[[rules]]\ndo = "segment"\nmodality = ["US", "OT"]\n'
    )
    values, rules = read_config(path, OPTIONS)
    assert values == {"send_to": "A@b:1", "port": 7, "allow": ["X"]}
    assert rules == [Rule("segment", {"modality": ["US", "OT"]})]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("port = ", None),
        ("prt = 1", "prt"),
        ("[port]\na = 1", None),
        ("send-to = 1\nsend_to = 2", None),
        ("rules = 1", "rules"),
        ('[[rules]]\ndo = "send"', "do"),
        ('[[rules]]\ncalling = "A"', "do"),
        ('[[rules]]\ndo = "segment"\nbody = "breast"', "key"),
        ('[[rules]]\ndo = "segment"\ncalling = 3', "calling"),
        ('[[rules]]\ndo = "segment"\ncalling = []', "calling"),
    ],
)
def test_what_is_wrong_is_one_sentence(text: str, key: str | None, tmp_path: Path) -> None:
    with raises_user_error("node.toml", key=key):
        read_config(config(tmp_path, text), OPTIONS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with raises_user_error(path=tmp_path / "none.toml"):
        read_config(tmp_path / "none.toml", OPTIONS)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({}, True),
        ({"calling": ["scanner?"]}, True),
        ({"calling": ["CT*", "SCANNER1"]}, True),
        ({"calling": ["SCANNER"]}, False),
        ({"description": ["*mammasono*"]}, True),
        ({"description": ["*follow*"]}, True),
        ({"description": ["mamma"]}, False),
        ({"station": [""]}, True),
        ({"station": ["?*"]}, False),
        ({"modality": ["US"], "body_part": ["LIVER"]}, False),
        ({"modality": ["US"], "body_part": ["breast"]}, True),
    ],
)
def test_patterns(patterns: dict[str, list[str]], expected: bool) -> None:
    header = Dataset()
    header.Modality, header.BodyPartExamined = "US", "BREAST"
    header.StudyDescription, header.SeriesDescription = "Mammasonographie", "follow-up"
    assert Rule("segment", patterns).matches("SCANNER1", header) == expected


def test_the_first_rule_counts_and_none_is_a_no(tmp_path: Path) -> None:
    rules = [Rule("not assessed", {"calling": ["CT"]}), Rule("segment", {"calling": ["C*"]})]
    with open_source(ultrasound(tmp_path / "a.dcm")) as source:
        check_wanted(rules, "CR", source)
        check_wanted([], "anyone", source)
        for calling in ("CT", "MR"):
            with pytest.raises(NotAssessedError):
                check_wanted(rules, calling, source)
