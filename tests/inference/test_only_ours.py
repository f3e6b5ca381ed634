"""Only what an earlier run wrote is replaced, nothing that was written is read, and what is named is answered."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from bus_monai.data.items import inference_items
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.sources.listing import find_sources
from bus_monai.transforms.masks import SaveMaskd
from tests.inference.segment_files import PNG, contents, draw, table, ultrasound
from tests.user_errors import check_sentence, raises_user_error

SETTINGS = SegmentSettings(PNG)


def rows(out: Path) -> list[str]:
    return [Path(row["file"]).name for row in table(out)]


@pytest.mark.parametrize("name", ["results.csv", "run.json", "a_mask.png", "a_overlay.png", "sub/b_mask.png"])
def test_a_file_of_another_is_never_replaced(bright: Any, tmp_path: Path, name: str) -> None:
    draw(tmp_path / "a.png", (4, 4, 12, 20))
    draw(tmp_path / "sub" / "b.png", (4, 4, 12, 20))
    (tmp_path / name).write_bytes(b"mine")
    before = contents(tmp_path)
    with raises_user_error(path=tmp_path / name, key="--out"):
        segment_inputs([tmp_path], tmp_path, bright, SETTINGS)
    assert contents(tmp_path) == before


def test_results_elsewhere_are_no_input(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", (4, 4, 12, 20))
    nifti = nib.Nifti1Image(np.asarray(Image.open(tmp_path / "in" / "a.png")).T, np.eye(4))
    nib.save(nifti, tmp_path / "in" / "n.nii.gz")
    kinds = SegmentSettings(("png", "overlay", "nifti"))
    segment_inputs([tmp_path / "in"], tmp_path / "out", bright, kinds)
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, path in enumerate(sorted((tmp_path / "out").glob("*_*"))):
        path.rename(moved / f"{number}{''.join(path.suffixes)}")
    assert sorted(path.suffixes[0] for path in moved.iterdir()) == [".nii", ".nii", ".png", ".png", ".png", ".png"]
    draw(moved / "b.png", (4, 4, 12, 20))
    assert [path.name for path in find_sources(moved)] == ["b.png"]


def test_labels_of_the_label_server_are_no_input(tmp_path: Path) -> None:
    for name in ("a.png", "sub/labels/c.png", "labels/final/a.png", ".bus_monai/labels/final/a/0001.png"):
        draw(tmp_path / name, (4, 4, 12, 20))
    images = {path.relative_to(tmp_path).as_posix() for path in find_sources(tmp_path)}
    assert len(images) == 4
    for name in ("datastore_v2.json", ".lock"):
        (tmp_path / name).touch()
    images = {path.relative_to(tmp_path).as_posix() for path in find_sources(tmp_path)}
    assert images == {"a.png", "sub/labels/c.png"}


def test_results_beside_the_images_are_no_input(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.png", (4, 4, 12, 20))
    draw(tmp_path / "sub" / "b.png", (4, 4, 12, 20))
    for _ in range(2):
        assert segment_inputs([tmp_path], tmp_path, bright, SETTINGS)["done"] == 2
        assert rows(tmp_path) == ["a.png", "b.png"]
    assert segment_inputs([tmp_path / "sub"], tmp_path / "out", bright, SETTINGS)["done"] == 1
    # those of another run, too
    assert segment_inputs([tmp_path], tmp_path / "other", bright, SETTINGS)["done"] == 2
    with raises_user_error(path=tmp_path / "a_overlay.png"):
        segment_inputs([tmp_path / "a_overlay.png"], tmp_path / "other", bright, SETTINGS)
    assert sorted(path.name for path in find_sources(tmp_path)) == ["a.png", "b.png"]


def test_one_file_by_two_paths_is_one_row_of_two_runs_too(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", (4, 4, 12, 20))
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "in" / "a.png")
    for source in ("in", "link"):
        segment_inputs([tmp_path / source], tmp_path / "out", bright, SETTINGS)
        assert len(rows(tmp_path / "out")) == 1


def test_masks_of_inferring_replace_their_own_kind_alone(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", (4, 4, 12, 20))
    for _ in range(2):
        (item,) = inference_items(tmp_path, tmp_path)
        SaveMaskd()({"pred": np_probability((24, 32)), "source": item["source"], "output": item["output"]})
    shutil.copy(tmp_path / "a.png", tmp_path / "a_mask.png")
    with raises_user_error(path=tmp_path / "a_mask.png", key="output_dir"):
        inference_items(tmp_path, tmp_path)


def np_probability(shape: tuple[int, int]) -> Any:
    import torch

    return torch.full((1, *shape), 0.7)


def test_every_file_that_is_named_is_a_row(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.png", (4, 4, 12, 20))
    for name in ("b_masked.png", "c_mask.png"):
        shutil.copy(tmp_path / "a.png", tmp_path / name)
    picture = Image.open(tmp_path / "a.png")
    picture.save(tmp_path / "d.bmp")
    picture.save(tmp_path / "e.tiff")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "s").mkdir()
    names = ["a.png", "b_masked.png", "c_mask.png", "d.bmp", "e.tiff", "notes.txt"]
    given = [*(tmp_path / name for name in names), tmp_path / "s" / ".." / "a.png"]
    totals = segment_inputs(given, tmp_path / "out", bright, SETTINGS)
    assert (totals["done"], totals["failed"]) == (3, 3)
    assert rows(tmp_path / "out") == names
    reasons = {Path(row["file"]).name: row["reason"] for row in table(tmp_path / "out")}
    check_sentence(reasons["d.bmp"], "BMP", "PNG", path=tmp_path / "d.bmp")
    check_sentence(reasons["e.tiff"], "TIFF", "PNG", path=tmp_path / "e.tiff")


def test_an_archive_is_to_be_unpacked(bright: Any, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", (4, 4, 12, 20))
    shutil.make_archive(str(tmp_path / "z"), "zip", tmp_path / "in")
    with raises_user_error("ZIP", "unpack", path=tmp_path / "z.zip"):
        segment_inputs([tmp_path / "z.zip"], tmp_path / "out", bright, SETTINGS)
    assert not (tmp_path / "out").exists()


def test_a_dicomdir_leads_to_its_images(bright: Any, tmp_path: Path) -> None:
    ultrasound(tmp_path / "disc" / "im1")
    directory, listed, missing = Dataset(), Dataset(), Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    listed.DirectoryRecordType = missing.DirectoryRecordType = "IMAGE"
    listed.ReferencedFileID, missing.ReferencedFileID = "IM1", ["DIR", "IM2"]
    directory.DirectoryRecordSequence = [listed, missing]
    directory.save_as(tmp_path / "disc" / "DICOMDIR", enforce_file_format=False)
    content = (tmp_path / "disc" / "DICOMDIR").read_bytes()
    if content[128:132] != b"DICM":
        (tmp_path / "disc" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + content)
    assert pydicom.dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    totals = segment_inputs([tmp_path / "disc" / "DICOMDIR"], tmp_path / "out", bright, SETTINGS)
    assert (totals["done"], totals["failed"]) == (1, 1)
    assert sorted(set(rows(tmp_path / "out"))) == ["IM2", "im1"]
