"""Evaluation of a model on perturbed images."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import EVALUATE_CONFIG, input_modality
from bus_monai.bundle.run import evaluate_model
from bus_monai.bundle.settings import read_config, set_by_user
from bus_monai.data.datalist import Case, Datalist, write_datalist
from bus_monai.data.dataset import default_dataset_dir, load_dataset
from bus_monai.data.readers.folder import IMAGE_FOLDER, MASK_FOLDER, write_masks
from bus_monai.errors import UserError
from bus_monai.io.image import read_mask
from bus_monai.metrics.aggregate import CASES_FILE
from bus_monai.metrics.case_table import read_case_table
from bus_monai.metrics.compare import compare_robustness, write_robustness
from bus_monai.sources.read import read_source
from bus_monai.transforms.scanner import (
    Pixels,
    Random,
    add_speckle,
    burn_in,
    correlated_noise,
    jpeg,
    random_overlay,
)

Mask: TypeAlias = NDArray[np.bool_]
Perturbation: TypeAlias = Callable[[Pixels, Mask, Random], tuple[Pixels, Mask]]
"""Pixels (H, W) in [0, 1], mask (H, W) and a source of chance to new pixels and mask, of one size."""

BAR_HEIGHT_SHARE = 0.2
"""Height of each black bar, as a share of the image's height."""
SPECKLE_STD, SPECKLE_LENGTH_PX = 0.3, 1.0
"""Standard deviation of the added noise, and its correlation length in pixels."""


def _letterbox(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
    bar = round(BAR_HEIGHT_SHARE * len(pixels))
    return np.pad(pixels, ((bar, bar), (0, 0))), np.pad(mask, ((bar, bar), (0, 0)))


def _resize(rows: float, columns: float) -> Perturbation:
    def resized(pixels: Pixels, mask: Mask, random: Random) -> tuple[Pixels, Mask]:
        height, width = pixels.shape
        size = (max(1, round(columns * width)), max(1, round(rows * height)))
        image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        small = share >= 0.5
        # a lesion of few pixels must not vanish: the case would count as normal
        return np.clip(image, 0, 1), small if small.any() else share > 0

    return resized


def _speckled(pixels: Pixels, random: Random) -> Pixels:
    height, width = pixels.shape
    return add_speckle(pixels, correlated_noise((height, width), SPECKLE_LENGTH_PX, random), SPECKLE_STD)


def _of_pixels(change: Callable[[Pixels, Random], Pixels]) -> Perturbation:
    """Return a perturbation that leaves the mask as it is."""
    return lambda pixels, mask, random: (change(pixels, random), mask)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "letterbox 20 %": _letterbox,
    "gamma 0.6": _of_pixels(lambda pixels, _: (pixels**0.6).astype(np.float32)),
    "gamma 1.6": _of_pixels(lambda pixels, _: (pixels**1.6).astype(np.float32)),
    "scale 1/3": _resize(1 / 3, 1 / 3),
    "scale 3": _resize(3, 3),
    "width 0.75": _resize(1, 0.75),
    "JPEG quality 30": _of_pixels(lambda pixels, _: jpeg(pixels, 30)),
    "text and calipers": _of_pixels(lambda pixels, random: burn_in(pixels, random_overlay(random))),
    "speckle": _of_pixels(_speckled),
}
"""By what tables call them."""


def evaluate_robustness(model: TrainedModel, folder: Path, settings: Mapping[str, Any]) -> Path:
    """Evaluate a model under every perturbation and compare with the evaluation in ``folder``.

    The images of the split are disturbed and written to a temporary folder, from which the bundle's own
    ``evaluate.json`` reads them like any others. Chance depends on the case's id alone, so that two models see the
    same images.

    Args:
        model: what to evaluate.
        folder: of its evaluation, with ``cases.csv``; gets a folder ``robustness`` with one evaluation for each
            perturbation, and ``robustness.json``.
        settings: as of that evaluation, with ``split``.

    Returns:
        The path of ``robustness.json``.

    Raises:
        UserError: the bundle is not for ultrasound, the data cannot be read, or there is no ``cases.csv``.
    """
    check_ultrasound(model)
    plain = read_case_table(folder / CASES_FILE)
    cases = _cases(model, settings)
    tables = {}
    for name, perturb in PERTURBATIONS.items():
        below = folder / "robustness" / name.replace(" ", "_").replace("/", "_").replace("%", "percent")
        with tempfile.TemporaryDirectory() as disturbed:
            write_disturbed(Path(disturbed), cases, perturb, split=settings["split"])
            # a fold would be drawn anew from the folder's own section
            evaluate_model(model, below, dict(settings) | {"dataset_dir": disturbed, "protocol": "kfold5"})
        tables[name] = read_case_table(below / CASES_FILE)
    return write_robustness(folder, compare_robustness(plain, tables))


def check_ultrasound(model: TrainedModel) -> None:
    """Raise a user error unless the model is for ultrasound, whose images these perturbations happen to."""
    modality = input_modality(model.bundle)
    if modality != "US":
        raise UserError(
            f"The bundle '{model.bundle.name}' is for images of the modality {modality}, but --robustness disturbs as "
            "ultrasound scanners do: leave it out."
        )


def write_disturbed(folder: Path, cases: Sequence[Case], perturb: Perturbation, *, split: str) -> None:
    """Write disturbed images and masks of ``cases`` as PNG, with a ``datalist.json`` of the one section ``split``.

    An image has as many masks as before, one per lesion.
    """
    for name in (IMAGE_FOLDER, MASK_FOLDER):
        (folder / name).mkdir()
    written = []
    for case in cases:
        pixels = read_source(case.image).pixels
        masks = [read_mask(path, pixels.shape) for path in case.masks]
        # each alone with the same chance, since a crop around a lesion needs the mask of this one
        chance = zlib.crc32(case.id.encode())
        changed = [
            perturb(pixels, mask, np.random.default_rng(chance)) for mask in masks or [np.zeros(pixels.shape, bool)]
        ]
        image = folder / IMAGE_FOLDER / f"{case.id}.png"
        Image.fromarray(np.round(changed[0][0] * 255).astype(np.uint8)).save(image)
        paths = write_masks(case, folder, [mask for _, mask in changed]) if masks else ()
        written.append(replace(case, image=image, masks=paths))
    write_datalist(folder, Datalist.of({split: written}))


def _cases(model: TrainedModel, settings: Mapping[str, Any]) -> Sequence[Case]:
    defaults = set_by_user(read_config(model.bundle / "configs" / EVALUATE_CONFIG))
    known = defaults | model.overrides(EVALUATE_CONFIG) | dict(settings)
    datalist = load_dataset(
        settings.get("dataset_dir") or default_dataset_dir(),
        protocol=known["protocol"],
        seed=known["seed"],
        skip_broken=known["skip_broken"],
    )
    cases: Sequence[Case] = getattr(datalist, settings["split"])
    return cases
