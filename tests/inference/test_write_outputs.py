"""What the outputs of a file are called, and where they may lie."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.manifest import Manifest
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.inference.write_outputs import OUTPUT_SUFFIXES, candidate_names, output_path, parse_kinds
from tests.inference.segment_files import PNG, draw, table
from tests.user_errors import raises_user_error

NAMES = st.lists(
    st.from_regex(r"\A(?:[abAB]{1,2}/)?[abA](?:_frame0\d\d|_2|_png|_mask)?(?:\.png|\.jpg|\.PNG|\.nii\.gz|)\Z"),
    unique=True,
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(NAMES)
def test_no_two_names_share_an_output(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Path(folder))
        entries = [manifest.enter(name, candidate_names(PurePosixPath(name))) for name in names]
        manifest.close()
    outputs = [
        str(output_path(Path("out"), entry.name, kind, frame=frame, frames=3)).lower()
        for entry in entries
        for kind in OUTPUT_SUFFIXES
        for frame in (None, 0, 1, 2)
    ]
    assert len(set(outputs)) == len(names) * len(OUTPUT_SUFFIXES) * 4


def test_a_folder_called_as_an_output(bright: Any, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source / "a.png", (2, 2, 8, 8))
    draw(source / "a_mask.png" / "b.png", (2, 2, 8, 8))
    totals = segment_inputs([source], out, bright, SegmentSettings(("png",)))
    assert (totals["done"], totals["failed"]) == (1, 1)
    (reason,) = [row["reason"] for row in table(out) if row["reason"]]
    assert reason.startswith(f"The outputs of '{source}")
    assert reason.endswith("): rename the file.")


def test_a_link_out_of_the_folder_is_not_followed(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a" / "x.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, SegmentSettings(PNG))
    assert "leads outside" in table(tmp_path / "out")[0]["reason"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_kinds_come_in_one_order() -> None:
    assert parse_kinds("png,seg") == ("seg", "png")
    with raises_user_error("'dcm'", "seg", "sr", "overlay", "png", "nifti", "sc", "gsps", key="--write"):
        parse_kinds("png,dcm")
