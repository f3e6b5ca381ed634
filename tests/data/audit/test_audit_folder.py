"""What is found between images: copies, and what cannot be read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bus_monai.data.audit.audit_folder import audit_folder
from tests.data.audit.findings import found, image
from tests.user_errors import check_sentence, raises_user_error


def test_a_sound_folder_has_no_findings(folder: Path) -> None:
    audit = audit_folder(folder)
    assert [audit.name(one.path) for one in audit.images] == [f"benign/a{i}.png" for i in range(6)]
    assert found(folder) == {}
    assert audit.duplicate_groups == []


def test_a_broken_image_is_named_and_the_rest_goes_on(folder: Path) -> None:
    path = folder / "benign" / "a2.png"
    path.write_bytes(path.read_bytes()[:200])
    shutil.copy(folder / "benign" / "a1.png", folder / "benign" / "a5.png")
    content = audit_folder(folder).to_dict()
    assert content["images"] == 5
    assert [f["paths"] for f in content["findings"]["unreadable"]] == [["benign/a2.png"]]
    check_sentence(content["findings"]["unreadable"][0]["detail"], path=path.resolve())
    assert content["duplicate_groups"] == [["benign/a1.png", "benign/a5.png"]]


def test_copies_across_classes_join_by_way_of_others(folder: Path) -> None:
    (folder / "malignant").mkdir()
    image(folder, "a0.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "malignant" / "b.jpg", quality=90)
    shutil.copy(folder / "benign" / "a0.png", folder / "benign" / "a3.png")
    content = audit_folder(folder).to_dict()
    assert content["duplicate_groups"] == [["benign/a0.png", "benign/a3.png", "malignant/b.jpg"]]
    assert content["split_groups"] == content["duplicate_groups"]
    equal, flipped = content["duplicate_pairs"]
    assert equal == {"images": ["benign/a0.png", "benign/a3.png"], "correlation": 1.0, "flip": "none", "equal": True}
    assert flipped["images"] == ["benign/a0.png", "malignant/b.jpg"]
    assert flipped["flip"] == "horizontal"
    (across,) = content["findings"]["duplicates_across_classes"]
    assert across["paths"] == ["benign/a0.png", "malignant/b.jpg"]
    assert re.fullmatch(r"benign and malignant, correlation 0\.9\d|.*1\.00", across["detail"])


def test_copies_in_two_sections_of_a_datalist(small_phantoms: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_phantoms, tmp_path / "set")
    content = json.loads((folder / "datalist.json").read_text())
    one, other = content["training"][0]["image"], content["test"][0]["image"]
    shutil.copy(folder / one, folder / other)
    findings = audit_folder(folder).to_dict()["findings"]["duplicates_across_groups"]
    assert [sorted(f["paths"]) for f in findings] == [sorted([one, other])]
    assert sorted(findings[0]["detail"].split(", ")[0].split(" and ")) == ["test", "training"]


@pytest.mark.parametrize(("name", "remedy"), [("missing", "unpacked"), ("set.zip", "unpack"), ("empty", "DICOM")])
def test_what_is_no_folder_of_images_is_refused(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "set.zip").write_bytes(b"PK\3\4")
    with raises_user_error(remedy, path=tmp_path / name):
        audit_folder(tmp_path / name)
