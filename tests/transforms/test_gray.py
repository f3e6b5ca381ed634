"""What transforms refuse: several channels, and values outside of [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bus_monai.transforms.contrast import HistogramEqualization
from bus_monai.transforms.gray import check_unit
from bus_monai.transforms.masks import Morphology, SaveMaskd
from bus_monai.transforms.scanner import RandBurnInd, RandDepthGaind, RandJPEGd, RandLetterboxd, RandSpeckled
from bus_monai.transforms.speckle import SPECKLE_METHODS, SpeckleReduction, frost, lee, srad
from bus_monai.transforms.tissue_crop import RandTissueCropd
from tests.user_errors import raises_user_error

IMAGE = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(0))
CHANGING: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: SpeckleReduction(name) for name in SPECKLE_METHODS if name != "none"},
    "global": HistogramEqualization("global"),
    "clahe": HistogramEqualization("clahe"),
    "morphology": Morphology(),
}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("shape", [(3, 12, 16), (12, 16), (1, 1, 12, 16)])
def test_other_than_one_channel_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with raises_user_error("(1, H, W)"):
        CHANGING[name](torch.rand(shape))


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("image", [255 * IMAGE, IMAGE - 0.5, torch.full((1, 12, 16), float("nan"))])
def test_values_outside_of_the_unit_interval_are_refused(name: str, image: Tensor) -> None:
    with raises_user_error("[0, 1]"):
        CHANGING[name](image)


@pytest.mark.parametrize("name", CHANGING)
def test_rounding_beyond_the_unit_interval_is_none_of_that(name: str) -> None:
    image = IMAGE.clone()
    image[0, 0, 0], image[0, 5, 5] = -1e-6, 1 + 1e-6
    changed = CHANGING[name](image)
    assert changed.shape == image.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_color_images_pass_where_nothing_is_done() -> None:
    image = torch.rand(3, 12, 16)
    assert SpeckleReduction("none")(image) is image
    assert HistogramEqualization("none")(image) is image


@pytest.mark.parametrize("kind", [RandDepthGaind, RandSpeckled, RandBurnInd, RandJPEGd])
def test_effects_of_scanners_are_of_one_channel(kind: type[Any]) -> None:
    effect = kind("image", prob=1.0)
    assert effect({"image": IMAGE})["image"].shape == IMAGE.shape
    with raises_user_error(key=kind.__name__):
        effect({"image": IMAGE.expand(3, -1, -1)})


@pytest.mark.parametrize("kind", [RandLetterboxd, RandTissueCropd])
def test_moved_images_are_of_one_channel(kind: type[Any]) -> None:
    item = {"image": IMAGE.expand(3, -1, -1), "label": torch.zeros_like(IMAGE)}
    with raises_user_error(key=kind.__name__):
        kind(("image", "label"), prob=1.0)(item)


@pytest.mark.parametrize("apply", [lee, frost, srad])
def test_filters_of_planes_refuse_volumes(apply: Callable[..., Any]) -> None:
    with raises_user_error("(H, W)"):
        apply(np.zeros((2, 12, 16), dtype=np.float32))
    with raises_user_error("255"):
        apply(np.full((12, 16), 255, dtype=np.float32))


@pytest.mark.parametrize("pred", [20 * IMAGE, torch.cat([IMAGE, IMAGE])])
def test_logits_and_several_channels_are_not_saved_as_masks(pred: Tensor, tmp_path: Path) -> None:
    item = {"pred": MetaTensor(pred), "source": "a.png", "output": str(tmp_path / "mask.png")}
    with raises_user_error(key="SaveMaskd"):
        SaveMaskd()(item)
    assert list(tmp_path.iterdir()) == []


def test_the_sentence_names_the_range() -> None:
    with raises_user_error("0", "255", key="Filter"):
        check_unit(np.array([0.0, 255.0]), "Filter")
