"""Pages of one file: what is written as text, as numbers, and as the address of a picture."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from bus_monai.metrics.aggregate import summarize_all
from bus_monai.metrics.case_table import CaseRow
from bus_monai.report.page import embed, interval, number, p_value, read_history, summary_text, write_page
from tests.user_errors import raises_user_error


def test_history_leaves_out_what_an_epoch_did_not_have(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    (tmp_path / "history.csv").write_text("epoch,d_loss,val_dice\n1,,0.5\n2,-2,0.75\n")
    assert read_history(tmp_path) == [{"epoch": 1, "val_dice": 0.5}, {"epoch": 2, "d_loss": -2, "val_dice": 0.75}]


def test_summary_as_text_names_each_rule_and_interval(good: list[CaseRow]) -> None:
    text = summary_text(summarize_all(good))
    assert "lesion: Mean over the cases with a lesion" in text
    assert re.search(r"Dice +0\.\d{4} +\[0\.\d{4}, 0\.\d{4}\] +20 cases", text)


def test_numbers_have_four_decimals_and_no_p_value_is_0() -> None:
    assert [number(value) for value in (0.98765, -9.5, 10.0, 123.456)] == ["0.9877", "-9.5000", "10.0", "123.5"]
    assert [p_value(value) for value in (0.0, 0.00009, 0.0001, 0.5)] == ["< 0.0001", "< 0.0001", "0.0001", "0.5000"]
    assert interval({"low": 0.25, "high": 12.0}) == "[0.2500, 12.0]"
    assert interval({"low": None, "high": None}) == ""


def test_a_page_escapes_what_it_is_given_and_replaces_its_own_alone(tmp_path: Path) -> None:
    content = {"images": 1, "failed": {"<b>&": "no"}, "masses": [], "columns": [], "stages": None, "more": 0}
    page = tmp_path / "report.html"

    def write(**others: object) -> str:
        write_page(page, "mammogram_report.html.jinja", title="T", **content | others)
        return page.read_text()

    with pytest.raises(UndefinedError, match="pictures"):
        write()
    assert list(tmp_path.iterdir()) == []
    assert "<td>&lt;b&gt;&amp;</td>" in write(pictures={})
    assert "&lt;b&gt;" not in write(pictures={}, failed={})
    page.write_text("mine")
    with raises_user_error(path=page):
        write(pictures={})
    assert page.read_text() == "mine"


def test_an_embedded_picture_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(range(256)))
    head, _, data = embed(tmp_path / "a.png").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == bytes(range(256))
