"""Real images on generated screens: the region, and what the model that ships finds there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import parse_models
from bus_monai.data.datalist import Case
from bus_monai.data.phantoms.screen import SCREEN_LAYOUTS, SCREEN_SIZES, Screen, draw_screen, images_of_layout
from bus_monai.data.readers.ultrasound import read_bus_bra, read_busi
from bus_monai.geometry.box import mask_of
from bus_monai.inference.predictor import Predictor
from bus_monai.io.gray import LUMA_WEIGHTS
from bus_monai.io.image import read_masks
from bus_monai.metrics.segmentation import mask_dice
from bus_monai.sources.read import read_source
from bus_monai.transforms.image_region import find_regions, peel_borders

SEED = 7


@dataclass(frozen=True)
class Shown:
    """Images on a screen, and where their lesions are in themselves."""

    screen: Screen
    layout: str
    images: list[NDArray[np.uint8]]
    lesions: list[NDArray[np.bool_]]

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The screen in gray."""
        return (self.screen.image @ LUMA_WEIGHTS / 255).astype(np.float32)

    def truth(self) -> NDArray[np.bool_]:
        """Where the images are, without the plain borders that they have themselves."""
        truth = np.zeros(self.screen.shown.shape, dtype=bool)
        for image, box in zip(self.images, self.screen.boxes, strict=True):
            scale = box.height / len(image)
            top, left, bottom, right = (round(side * scale) for side in peel_borders(image).sides)
            truth[box.slices][top:bottom, left:right] = True
        return truth & self.screen.shown


def screens(shared: Path, count: int) -> Iterator[Shown]:
    """Yield screens of BUSI and BUS-BRA, of every layout and size."""
    rng = np.random.default_rng(SEED)
    sets = [list(read_bus_bra(shared / "data" / "bus_bra")), list(read_busi(shared / "data" / "busi"))]
    for number in range(count):
        layout, size = SCREEN_LAYOUTS[number % 5], SCREEN_SIZES[number // 5 % 6]
        cases: list[Case] = [
            sets[number % 2][rng.integers(len(sets[number % 2]))] for _ in range(images_of_layout(layout))
        ]
        images = [np.rint(read_source(case.image).pixels * 255).astype(np.uint8) for case in cases]
        lesions = [read_masks(case.masks, image.shape) for case, image in zip(cases, images, strict=True)]
        yield Shown(draw_screen(images, layout, rng, size=size), layout, images, lesions)


@pytest.mark.parametrize("count", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_regions_of_real_images(shared: Path, count: int) -> None:
    overlaps = []
    for shown in screens(shared, count):
        regions = find_regions(shown.pixels)
        found, truth = mask_of(regions, shown.screen.shown.shape), shown.truth()
        assert len(regions) == len(shown.images)
        overlaps.append((found & truth).sum() / (found | truth).sum())
    assert np.mean(overlaps) >= 0.95
    # of 300 screens seven: very dark images, and a fan of which little is bright
    assert np.mean(np.array(overlaps) < 0.8) <= 0.03


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_lesions_of_real_images(shared: Path, count: int) -> None:
    pytest.importorskip("openvino")
    predictor = Predictor(parse_models(["lite_unet"])[0])
    there, alone = [], []
    for shown in screens(shared, count):
        pixels = shown.pixels
        found = predictor.predict(pixels) >= 0.5
        assert not (found & ~shown.screen.shown).any()
        for image, lesion, box in zip(shown.images, shown.lesions, shown.screen.boxes, strict=True):
            if not lesion.any():
                continue
            scaled = np.asarray(Image.fromarray(lesion).resize((box.width, box.height), Image.Resampling.NEAREST))
            there.append(mask_dice(found[box.slices], scaled))
            if shown.layout == "sector":
                # a curved probe does not show the corners of the image
                seen = np.where(shown.screen.shown[box.slices], pixels[box.slices], 0)
                alone.append(mask_dice(predictor.predict(seen) >= 0.5, scaled))
            else:
                alone.append(mask_dice(predictor.predict(image / np.float32(255)) >= 0.5, lesion))
    # where the network is in doubt another resolution decides, so that the mean of a few says little
    assert np.median(np.abs(np.subtract(there, alone))) < 0.02
    if count > 100:
        assert np.mean(there) == pytest.approx(np.mean(alone), abs=0.01)
