"""What the pages take for granted: a folder or a file for each placeholder, tiny, and words that stand for others."""

from __future__ import annotations

import csv
import itertools
import shutil
from pathlib import Path

import torch
from PIL import Image

from bus_monai.data.demo_files import write_demo_files
from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
from bus_monai.data.phantoms.ultrasound import make_phantom, write_phantoms
from tests.data.label_folder import write_pictures
from tests.networks.torchvision_layout import photographs
from tests.pacs.certificates import Authority
from tests.published_layouts import bus_uclm

SIZE = (64, 64)
MAMMOGRAMS = ("docs/mammograms.md", "bundles/mammo_cgan/", "bundles/mass_detection/", "bundles/mass_shape/")
"""Pages whose images are mammograms."""
MODEL = "baseline:WEIGHTS/model.pt"
WORDS: dict[str, dict[str, str]] = {
    "": {"BUNDLE[:WEIGHTS]": MODEL, "BUNDLE:WEIGHTS...": MODEL, "BUNDLE:WEIGHTS": MODEL, " ...": ""},
    "docs/hospital.md": {"FOLDER": "DICOM"},
    "docs/researcher.md": {"lite_unet:RUN/model.pt": MODEL},
    "benchmarks/README.md": {"lite_unet:runs/lite_unet/model.pt": MODEL},
    "bundles/assgan/docs/README.md": {"RUN": "runs/assgan", "DIR": "EVALUATION"},
    "bundles/baseline/docs/README.md": {"$name": "segnet", "results/*": "results/segnet comparison/unet"},
    # the tiny BUS-UCLM has fewer patients than there are folds
    "bundles/lite_unet/docs/README.md": {"RUN": "bundles/lite_unet/models", "BUS-UCLM": "BUSI"},
    "bundles/multi_encoder_unet/docs/README.md": {"RUN": "bundles/multi_encoder_unet/models", "DIR": "EVALUATION/test"},
    "bundles/rdau_gan/docs/README.md": {"MODEL.pt": "bundles/rdau_gan/models/model.pt"},
}
"""By page, those of all pages first: what the page itself has made stands for its placeholder where it can."""


def stand_ins(page: str, line: str) -> str:
    """Return the line of a page with what stands for its words."""
    for word, other in (WORDS[""] | WORDS.get(page, {})).items():
        line = line.replace(word, other)
    return line


def write_given(folder: Path, weights: Path) -> None:
    """Write a folder of all that pages may name, by its name there, and ``mammograms`` for the pages of these.

    Args:
        folder: to make.
        weights: of a small model of ``baseline``, with its settings beside it.
    """
    folder.mkdir()
    _write_busi(folder / "BUSI")
    bus_uclm(folder / "BUS-UCLM")
    phantoms = write_phantoms(folder / "phantoms_of_all", count=12, size=SIZE)
    shutil.move(phantoms / "images", folder / "IMAGES")
    shutil.rmtree(phantoms)
    write_demo_files(folder / "STUDIES")
    write_pictures(folder / "LABELS")
    # what looks like ultrasound to the model that ships
    phantom = make_phantom(8, (160, 200))
    Image.fromarray(phantom.image).save(folder / "LABELS" / "phantom.png")
    Image.fromarray(phantom.masks[0]).save(folder / "LABELS" / "labels" / "final" / "phantom.png")
    write_pictures(folder / "OTHER_LABELS", shift=2)
    (folder / "MASKS").mkdir()
    shutil.copy(folder / "LABELS" / "labels" / "final" / "a.png", folder / "MASKS" / "unlabeled_mask.png")
    shutil.copytree(weights.parent, folder / "WEIGHTS")
    for name in ("resnet18", "densenet121", "efficientnet_b0"):
        torch.save(photographs(name), folder / f"{name}.pth")
    files = Authority(folder / "authority").files()
    shutil.copy(files.certificate, folder / "node.pem")
    shutil.copy(files.key, folder / "node.key")
    shutil.copy(folder / "authority" / "authority.pem", folder / "hospital.pem")
    shutil.rmtree(folder / "authority")

    mammograms = folder / "mammograms"
    write_mammo_phantoms(mammograms / "CBIS_DDSM", count=12)
    shutil.copytree(mammograms / "CBIS_DDSM", mammograms / "CBIS")
    shutil.copytree(mammograms / "CBIS_DDSM" / "images", mammograms / "IMAGES")
    shutil.copytree(mammograms / "CBIS_DDSM" / "masks", mammograms / "MASKS")
    _write_boxes(mammograms / "CBIS_DDSM" / "masks", mammograms / "BOXES.csv")


def _write_busi(folder: Path) -> None:
    wanted = {"benign": 8, "malignant": 5, "normal": 3}
    for number in itertools.count(1):
        phantom = make_phantom(number, SIZE)
        if not wanted[phantom.diagnosis]:
            continue
        wanted[phantom.diagnosis] -= 1
        stem = folder / phantom.diagnosis / f"{phantom.diagnosis} ({number})"
        stem.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom.image).save(f"{stem}.png")
        for i, mask in enumerate(phantom.masks):
            Image.fromarray(mask).save(f"{stem}_mask{f'_{i}' if i else ''}.png")
        if not any(wanted.values()):
            return


def _write_boxes(masks: Path, table: Path) -> None:
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "top", "left", "bottom", "right"])
        for path in sorted(masks.glob("*_mask.png")):
            left, top, right, bottom = Image.open(path).getbbox() or (0, 0, 1, 1)
            writer.writerow([path.stem.removesuffix("_mask"), top, left, bottom, right])
