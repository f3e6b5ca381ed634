"""Each finding on generated images, and what audit.json and audit.html hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from bus_monai.cli.data import audit as audit_command
from bus_monai.data.audit.audit_folder import audit_folder
from bus_monai.data.audit.listing import FINDING_MEANINGS
from tests.user_errors import check_sentence, raises_user_error


def found(folder: Path) -> dict[str, list[tuple[list[str], str]]]:
    """Return the findings by kind, without those of which there are none."""
    findings = audit_folder(folder).to_dict()["findings"]
    return {kind: [(f["paths"], f["detail"]) for f in some] for kind, some in findings.items() if some}


def image(folder: Path, name: str) -> Image.Image:
    return Image.open(folder / "benign" / name).convert("L")


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


def test_masks_that_do_not_fit(folder: Path) -> None:
    place = folder / "benign"
    (place / "a0_mask.png").unlink()
    Image.new("L", (128, 95), 255).save(place / "a1_mask.png")
    Image.new("L", (128, 96)).save(place / "a2_mask.png")
    Image.new("L", (128, 96)).save(place / "zz_mask.png")
    tiny = np.zeros((96, 128), np.uint8)
    tiny[5:8, 5:9] = 255
    Image.fromarray(tiny).save(place / "a3_mask.png")
    two = np.zeros((96, 128), np.uint8)
    two[10:30, 10:30] = two[50:80, 60:90] = 255
    Image.fromarray(two).save(place / "a4_mask.png")
    (place / "a5_mask.png").write_bytes(b"")
    findings = found(folder)
    assert [paths for paths, _ in findings.pop("unreadable")] == [["benign/a5_mask.png"]]
    assert findings == {
        "missing_mask": [(["benign/a0.png"], "others have one")],
        "mask_without_image": [(["benign/zz_mask.png"], "no image of this name")],
        "mask_size": [(["benign/a1.png", "benign/a1_mask.png"], "mask 95 x 128, image 96 x 128 pixels")],
        "empty_mask": [(["benign/a2.png"], "no lesion, but the image is benign")],
        "tiny_lesion": [(["benign/a3.png"], "1 below 0.1 %: 12 pixels")],
        "several_lesions": [(["benign/a4.png"], "2 lesions")],
    }


def test_a_normal_image_may_lack_its_lesion(folder: Path) -> None:
    (folder / "benign").rename(folder / "normal")
    Image.new("L", (128, 96)).save(folder / "normal" / "a0_mask.png")
    (folder / "normal" / "a1_mask.png").unlink()
    assert found(folder) == {}


def test_marks_and_margins(folder: Path) -> None:
    place = folder / "benign"
    framed = Image.new("L", (160, 96))
    framed.paste(image(folder, "a0.png"), (16, 0))
    framed.save(place / "a0.png")
    lesion = Image.new("L", (160, 96))
    ImageDraw.Draw(lesion).ellipse((60, 30, 100, 60), fill=255)
    lesion.save(place / "a0_mask.png")
    doppler = image(folder, "a1.png").convert("RGB")
    ImageDraw.Draw(doppler).rectangle((40, 40, 55, 47), fill=(200, 30, 20))
    doppler.save(place / "a1.png")
    dark = image(folder, "a2.png").point(lambda value: value // 3)
    for x, y in ((30, 40), (90, 60)):
        ImageDraw.Draw(dark).line((x - 5, y, x + 5, y), fill=255)
        ImageDraw.Draw(dark).line((x, y - 5, x, y + 5), fill=255)
    dark.save(place / "a2.png")
    for name, gray in (("a3.png", 255), ("a4.png", 120)):
        lettered = image(folder, name).point(lambda value: value // 3)
        ImageDraw.Draw(lettered).text((20, 70), "LEFT   BREAST", fill=gray)
        lettered.save(place / name)
    assert found(folder) == {
        "letterbox": [(["benign/a0.png"], "left 10 %, right 10 %")],
        "colour": [(["benign/a1.png"], "1.0 % of the pixels")],
        "calipers": [(["benign/a2.png"], "2 marks")],
        "text": [(["benign/a3.png"], "1 line"), (["benign/a4.png"], "1 line")],
    }


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


def test_the_command_writes_both_files(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "benign" / "a1.png", folder / "benign" / "a<b>.png")
    app = typer.Typer()
    app.command()(audit_command)
    result = CliRunner().invoke(app, [str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [
        "     1  groups of duplicates among 7 images",
        str(tmp_path / "out" / "audit.html"),
    ]
    content = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert list(content) == ["images", "duplicate_groups", "duplicate_pairs", "split_groups", "findings"]
    assert list(content["findings"]) == list(FINDING_MEANINGS)
    assert content["duplicate_groups"] == [["benign/a1.png", "benign/a<b>.png"]]
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "benign/a1.png, benign/a&lt;b&gt;.png<br>equal" in page
    assert set(re.findall(r"(?:src|href)=\"(.{5})", page)) <= {"data:", "#dupl"} | {
        f"#{kind[:4]}" for kind in FINDING_MEANINGS
    }


def test_a_folder_that_cannot_be_written_to(folder: Path, tmp_path: Path) -> None:
    from bus_monai.report.audit_report import write_audit

    (tmp_path / "file").touch()
    with raises_user_error(path=tmp_path / "file"):
        write_audit(audit_folder(folder), tmp_path / "file")
