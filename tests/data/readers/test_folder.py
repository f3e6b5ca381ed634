"""Tables as people's programs write them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus_monai.data.datalist import Case
from bus_monai.data.readers.folder import mask_path, read_csv_table, read_xlsx_table
from tests.published_layouts import save_xlsx
from tests.user_errors import raises_user_error


def test_csv_with_mark_spaces_and_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffid , path\n1,"a.dcm\n"\n\n2\n', encoding="utf-8")
    assert read_csv_table(path, ("id", "path")) == [{"id": "1", "path": "a.dcm"}, {"id": "2", "path": ""}]


def test_xlsx_numbers_are_text(tmp_path: Path) -> None:
    path = save_xlsx(tmp_path / "t.xlsx", [["id ", "size"], [1, 0.5], [2.0, None], [None, None]])
    assert read_xlsx_table(path, ("id",)) == [{"id": "1", "size": "0.5"}, {"id": "2", "size": ""}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(st.binary(max_size=60), st.sampled_from([("t.csv", read_csv_table), ("t.xlsx", read_xlsx_table)]))
def test_broken_tables_are_a_sentence(tmp_path: Path, content: bytes, kind: tuple) -> None:
    name, read = kind
    path = tmp_path / name
    path.write_bytes(content)
    with raises_user_error(path=path):
        read(path, ("ID",))


def test_what_a_table_lacks_is_named(tmp_path: Path) -> None:
    path = save_xlsx(tmp_path / "t.xlsx", [["Image"]])
    with raises_user_error(path=path, key="Type"):
        read_xlsx_table(path, ("Image", "Type"))


lesions = st.tuples(st.from_regex(r"[a-b][a-b_.1-2]{0,6}", fullmatch=True), st.integers(1, 30))


@given(lesions, lesions)
@example(("a", 2), ("a_2", 1))
@example(("a", 1), ("a_1", 1))
def test_no_two_lesions_share_a_file(one: tuple[str, int], other: tuple[str, int]) -> None:
    paths = [mask_path(Case(i, Path("i.png"), (), "g", "benign"), Path("out"), number) for i, number in (one, other)]
    assert (paths[0] == paths[1]) == (one == other)
    assert paths[0].parent == Path("out/masks")
