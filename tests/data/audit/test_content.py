"""What is found in single images: marks, margins, faults of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.data.audit.findings import found, image


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
