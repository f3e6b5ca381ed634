"""Tables as people's programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus_monai.data.readers.tables import read_csv_table, read_xlsx_table
from bus_monai.errors import UserError
from tests.published_layouts import save_xlsx


def test_csv_with_mark_spaces_and_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffid , path\n1,"a.dcm\n"\n\n2\n', encoding="utf-8")
    assert read_csv_table(path, ("id", "path")) == [{"id": "1", "path": "a.dcm"}, {"id": "2", "path": ""}]


def test_xlsx_numbers_are_text(tmp_path: Path) -> None:
    path = save_xlsx(tmp_path / "t.xlsx", [["id ", "size"], [1, 0.5], [2.0, None], [None, None]])
    assert read_xlsx_table(path, ("id",)) == [{"id": "1", "size": "0.5"}, {"id": "2", "size": ""}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=60), st.sampled_from([("t.csv", read_csv_table), ("t.xlsx", read_xlsx_table)]))
def test_broken_tables_are_a_sentence(tmp_path: Path, content: bytes, kind: tuple) -> None:
    name, read = kind
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"^'{path}' (lacks the column 'ID'|cannot be read as .*): download it again\.$"
    ):
        read(path, ("ID",))


def test_what_a_table_lacks_is_named(tmp_path: Path) -> None:
    path = save_xlsx(tmp_path / "t.xlsx", [["Image"]])
    with pytest.raises(UserError) as error:
        read_xlsx_table(path, ("Image", "Type"))
    assert str(error.value) == f"'{path}' lacks the column 'Type': download it again."
