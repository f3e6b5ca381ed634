"""What is exported is read back as the labels that were drawn, and masks come back as labels to correct."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from bus_monai.data.datalist import read_datalist
from bus_monai.data.label_exchange import export_labels, import_masks
from bus_monai.data.readers.own_images import LabeledImage, file_id, list_labels
from bus_monai.data.readers.ultrasound import read_busi
from bus_monai.io.image import read_masks
from bus_monai.io.masks import read_labels
from bus_monai.sources.read import read_source
from tests.data.label_folder import PICTURES, write_pictures, write_scans
from tests.dicom.objects import errors_of
from tests.user_errors import raises_user_error


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("labels") / "pictures")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("labels") / "scans")


def _labels(folder: Path) -> dict[str, LabeledImage]:
    return {one.name: one for one in list_labels(folder)}


def test_busi(pictures: Path, tmp_path: Path) -> None:
    assert export_labels(pictures, tmp_path / "out", "busi") == 3
    known = _labels(pictures)
    cases = {case.diagnosis: case for case in read_busi(tmp_path / "out")}
    assert [(name, len(case.masks)) for name, case in cases.items()] == [("benign", 2), ("malignant", 1), ("normal", 1)]
    for diagnosis, name in (("benign", "a"), ("malignant", "d"), ("normal", "sub/b c")):
        case = cases[diagnosis]
        np.testing.assert_array_equal(read_masks(case.masks, (60, 80)), known[name].read()[0] > 0)
        assert case.image.read_bytes() == known[name].image.read_bytes()
    assert [int(read_masks([mask], (60, 80)).sum()) for mask in cases["benign"].masks] == [575, 200]
    with (tmp_path / "out" / "fields.csv").open() as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert {name: row["birads"] for name, row in rows.items()} == {
        n: fields["birads"] for n, fields in PICTURES.items()
    }
    assert rows["a"]["comment"] == "'=1+1"  # no formula


def test_a_lesion_without_diagnosis_has_no_folder_of_busi(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "labels")
    (folder / "datastore_v2.json").unlink()
    with raises_user_error("'a'", key="diagnosis"):
        export_labels(folder, tmp_path / "out", "busi")
    assert not (tmp_path / "out").exists()


def test_coco(pictures: Path, scans: Path, tmp_path: Path) -> None:
    for folder, frames in ((pictures, 3), (scans, 4)):
        out = tmp_path / folder.name
        export_labels(folder, out, "coco")
        content = json.loads((out / "annotations.json").read_text())
        assert len(content["images"]) == frames
        drawn = {image["id"]: np.zeros((image["height"], image["width"]), np.uint8) for image in content["images"]}
        for one in content["annotations"]:
            counts, (height, width) = one["segmentation"]["counts"], one["segmentation"]["size"]
            runs = np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T == 1
            left, top, columns, rows = one["bbox"]
            assert runs[top : top + rows, left : left + columns].sum() == runs.sum() == one["area"]
            assert runs.any(axis=0).sum() == columns
            drawn[one["image_id"]][runs] = one["id"]
        known = {file_id(name): one for name, one in _labels(folder).items()}
        for image in content["images"]:
            assert np.asarray(Image.open(out / "images" / image["file_name"])).shape[:2] == drawn[image["id"]].shape
            name, _, frame = image["file_name"].removesuffix(".png").partition("_frame")
            one, values = known[name], drawn[image["id"]]
            np.testing.assert_array_equal(values > 0, one.read()[int(frame or 0)] > 0)
            assert len(np.unique(values)) == len(np.unique(one.read()[int(frame or 0)]))
            assert image["fields"] == one.fields


def test_nifti(pictures: Path, scans: Path, tmp_path: Path) -> None:
    for folder in (pictures, scans):
        out = tmp_path / folder.name
        export_labels(folder, out, "nifti")
        with (out / "fields.csv").open() as file:
            names = {row["image"]: row["id"] for row in csv.DictReader(file)}
        for name, one in _labels(folder).items():
            (image,) = (out / "images").glob(f"{names[name]}.*")
            label = out / "labels" / f"{names[name]}.nii.gz"
            drawn = one.read()
            np.testing.assert_array_equal(read_labels(label, drawn.shape), drawn)
            header, other = nib.load(image), nib.load(label)
            np.testing.assert_allclose(header.affine, other.affine)
            assert header.shape[:2] == other.shape[:2]
            if len(drawn) == 1:
                np.testing.assert_allclose(read_source(image).pixels, read_source(one.image).pixels, atol=0.5 / 255)


def test_dicom_segmentations(scans: Path, tmp_path: Path) -> None:
    for path in scans.glob("**/n.nii.gz"):
        path.rename(tmp_path / f"{path.parent.name}.nii.gz")
    out = tmp_path / "out"
    assert export_labels(scans, out, "dicom-seg") == 2
    known = _labels(scans)
    for name, one in known.items():
        made = pydicom.dcmread(out / f"{name}_seg.dcm")
        drawn = one.read()
        assert {segment.SegmentAlgorithmType for segment in made.SegmentSequence} == {"MANUAL"}
        found = np.zeros_like(drawn)
        for group, plane in zip(
            made.PerFrameFunctionalGroupsSequence,
            made.pixel_array.reshape(-1, *drawn.shape[1:]),
            strict=True,
        ):
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            shared = made.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
            number = (group.get("SegmentIdentificationSequence") or shared)[0].ReferencedSegmentNumber
            label = int(made.SegmentSequence[number - 1].TrackingID.removeprefix("Lesion "))
            found[int(source.get("ReferencedFrameNumber") or 1) - 1][plane > 0] = label
        np.testing.assert_array_equal(found, drawn)
        assert errors_of(out / f"{name}_seg.dcm") == []
    export_labels(scans, tmp_path / "again", "dicom-seg")
    for path in out.glob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    with raises_user_error("'a'"):
        export_labels(write_pictures(tmp_path / "pictures"), tmp_path / "none", "dicom-seg")


def test_datalist(pictures: Path, tmp_path: Path) -> None:
    export_labels(pictures, tmp_path / "out", "datalist")
    cases = {case.image.name: case for _, part in read_datalist(tmp_path / "out").sections() for case in part}
    known = _labels(pictures)
    assert len(cases) == 3
    np.testing.assert_array_equal(read_masks(cases["a.png"].masks, (60, 80)), known["a"].read()[0] > 0)
    assert cases["a.png"].diagnosis == "benign"


def test_nothing_is_replaced(pictures: Path, tmp_path: Path) -> None:
    for out in (tmp_path, pictures / "out"):
        with raises_user_error(path=out, key="--out"):
            export_labels(pictures, out, "nifti")
    with raises_user_error("coco", key="--format"):
        export_labels(pictures, tmp_path / "out", "cocoa")


def test_masks_become_labels_to_correct(tmp_path: Path) -> None:
    folder, masks = write_pictures(tmp_path / "images"), tmp_path / "masks"
    (masks / "sub").mkdir(parents=True)
    two, numbered = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    two[5:10, 5:10], two[20:40, 20:40] = 255, 255
    numbered[5:10, 5:10], numbered[20:40, 20:40], numbered[50, 50] = 4, 7, 7
    Image.fromarray(two).save(masks / "a.png")
    Image.fromarray(numbered).save(masks / "d_mask.png")
    for number, mark in enumerate(("_mask", "_mask_1")):
        lesion = np.zeros((60, 80), np.uint8)
        lesion[10 * number : 10 * number + 5, 5:10] = 255
        Image.fromarray(lesion).save(masks / "sub" / f"b c{mark}.png")
    Image.fromarray(two[:30]).save(masks / "unlabeled.png")
    Image.fromarray(two).save(masks / "other.png")
    count, problems = import_masks(masks, folder)
    assert count == 3
    assert [("unlabeled" in text, "other" in text) for text in problems] == [(False, True), (True, False)]
    found = {one.name: one.read()[0] for one in list_labels(folder, "original")}
    np.testing.assert_array_equal(found["a"] == 1, (two > 0) & (np.arange(60)[:, None] >= 20))
    np.testing.assert_array_equal(found["a"] > 0, two > 0)
    np.testing.assert_array_equal(found["d"], numbered)
    assert (int((found["sub/b c"] == 1).sum()), int((found["sub/b c"] == 2).sum())) == (25, 25)
    # what is there is kept, and a folder may hold its masks itself
    (masks / "a.png").write_bytes((masks / "d_mask.png").read_bytes())
    assert import_masks(masks, folder)[0] == 0
    np.testing.assert_array_equal(list_labels(folder, "original")[0].read()[0] > 0, two > 0)
    Image.fromarray(two).save(folder / "unlabeled_mask.png")
    assert import_masks(folder, folder) == (1, [])
