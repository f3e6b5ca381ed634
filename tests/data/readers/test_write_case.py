"""Names of masks."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from bus_monai.data.case import Case
from bus_monai.data.readers.write_case import mask_path

lesions = st.tuples(st.from_regex(r"[a-b][a-b_.1-2]{0,6}", fullmatch=True), st.integers(1, 30))


@given(lesions, lesions)
@example(("a", 2), ("a_2", 1))
@example(("a", 1), ("a_1", 1))
def test_no_two_lesions_share_a_file(one: tuple[str, int], other: tuple[str, int]) -> None:
    paths = [mask_path(Case(i, Path("i.png"), (), "g", "benign"), Path("out"), number) for i, number in (one, other)]
    assert (paths[0] == paths[1]) == (one == other)
    assert paths[0].parent == Path("out/masks")
