"""Tables of boxes: every name an image goes by, and every way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.errors import UserError
from bus_monai.inference.boxed_items import boxed_items, write_empty_masks
from bus_monai.inference.items import inference_items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "deep/b.jpg", "deep/c.png", "c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 12), 100, np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def table(folder: Path, *lines: str, header: str = "id,score,top,left,bottom,right") -> Path:
    path = folder.parent / "boxes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_one_item_a_box_by_any_name(folder: Path) -> None:
    images = inference_items(folder, folder.parent / "out")
    lines = ["b,0.9,1,2,3,4", "deep/c.png,0.8,0,0,9,12", "b.jpg,0.7,5,6,7,8", "deep/b.jpg,0.6,1,1,2,2"]
    boxed = boxed_items(images, folder, table(folder, *lines))
    assert [Path(item["image"]).name for item in boxed] == ["b.jpg", "b.jpg", "b.jpg", "c.png"]
    assert [item["box"].tolist() for item in boxed] == [[1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 2, 2], [0, 0, 9, 12]]
    assert [item["merge"] for item in boxed] == [False, True, True, False]
    files = table(folder, "1,2,3,4,a.png", header="top,left,bottom,right,file")
    assert [item["box"].tolist() for item in boxed_items(images, folder, files)] == [[1, 2, 3, 4]]


def test_images_without_a_box_get_an_empty_mask(folder: Path) -> None:
    out = folder.parent / "out"
    images = inference_items(folder, out)
    write_empty_masks(images, boxed_items(images, folder, table(folder, "b,0.9,1,2,3,4")))
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["a_mask.png", "c_mask.png", "deep/c_mask.png"]
    mask = np.asarray(Image.open(out / "a_mask.png"))
    assert mask.shape == (9, 12)
    assert not mask.any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,1,1,2,3,4", "Line 2 of '{table}' names 'x', which is no image below '{folder}': {remedy}"),
        ("c,1,1,2,3,4", "Line 2 of '{table}' names 'c', which is 2 images below '{folder}': {remedy}"),
        (
            "a,1,1,2,x,4",
            "Line 2 of '{table}' has no box in (1, 2, x, 4): give top, left, bottom and right in whole pixels, bottom "
            "below top and right of left.",
        ),
        (
            "a,1,3,2,3,4",
            "Line 2 of '{table}' has no box in (3, 2, 3, 4): give top, left, bottom and right in whole pixels, bottom "
            "below top and right of left.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(line: str, message: str, folder: Path) -> None:
    path = table(folder, line)
    with pytest.raises(UserError) as error:
        boxed_items(inference_items(folder, folder.parent / "out"), folder, path)
    assert str(error.value) == message.format(table=path, folder=folder, remedy="give the path of one image.")


def test_a_wrong_table_is_named(folder: Path) -> None:
    images = inference_items(folder, folder.parent / "out")
    path = table(folder, header="name,top,left,bottom")
    with pytest.raises(UserError) as error:
        boxed_items(images, folder, path)
    assert (
        str(error.value)
        == f"The table of boxes '{path}' lacks the column id or file or image, right: add what is missing."
    )
    path.unlink()
    with pytest.raises(UserError) as error:
        boxed_items(images, folder, path)
    assert str(error.value).startswith(f"The table of boxes '{path}' cannot be read (")
