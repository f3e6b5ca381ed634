"""Covered lesions: gone, with what is around them as it was, and a cover says nothing about the label."""

from __future__ import annotations

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from bus_monai.transforms.cover_lesion import RandCoverLesiond, cover


def layers(side: int = 128) -> NDArray[np.float32]:
    """Tissue that is brighter the deeper it lies."""
    return np.repeat(np.linspace(0.3, 0.7, side, dtype=np.float32)[:, None], side, axis=1)


def lesion(left: int, right: int, side: int = 128) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), dtype=bool)
    mask[40:60, left:right] = True
    return mask


def with_lesion(mask: NDArray[np.bool_]) -> dict[str, MetaTensor]:
    image = np.where(mask, 0, layers()).astype(np.float32)
    return {
        "image": MetaTensor(torch.from_numpy(image)[None], meta={"spacing_mm": 1}),
        "label": MetaTensor(torch.from_numpy(mask)[None].float()),
    }


def test_a_covered_lesion_looks_as_the_tissue_of_its_depth_and_nothing_else_changes() -> None:
    mask = lesion(50, 80)
    before = np.where(mask, 0, layers()).astype(np.float32)
    for seed in range(5):
        after = cover(before, mask, np.random.RandomState(seed))
        assert after is not None
        # up to a twentieth of the height deeper or less deep, and a tenth brighter or darker
        np.testing.assert_allclose(after[mask], layers()[mask], atol=0.08)
        far = np.ones_like(mask)
        far[28:72, 38:92] = False
        np.testing.assert_array_equal(after[far], before[far])


def test_a_side_without_tissue_is_not_mirrored() -> None:
    before = layers()
    before[:, 80:] = 0
    after = cover(before, lesion(70, 128), np.random.RandomState(0))
    assert after is not None
    assert float(after[45:55, 75:].min()) > 0.3


def test_a_lesion_from_side_to_side_stays() -> None:
    mask = lesion(4, 124)
    assert cover(layers(), mask, np.random.RandomState(0)) is None
    item = with_lesion(mask)
    transform = RandCoverLesiond(prob=0.5).set_random_state(0)
    assert all(transform(item)["label"].any() for _ in range(20))


def test_as_many_lesions_as_other_places_are_covered() -> None:
    item = with_lesion(lesion(50, 80))
    transform = RandCoverLesiond(prob=0.3).set_random_state(0)
    drawn = [transform(item) for _ in range(300)]
    gone = [after for after in drawn if not after["label"].any()]
    kept = [after for after in drawn if after["label"].any()]
    decoys = [after for after in kept if not torch.equal(after["image"], item["image"])]
    assert 60 < len(gone) < 120
    assert 60 < len(decoys) < 120
    inside = item["label"] > 0
    assert all(float(after["image"][inside].min()) > 0.2 for after in gone)
    # a cover ends softly
    assert all(float(after["image"][inside].max()) < 0.1 for after in decoys)
    assert {after["image"].meta["spacing_mm"] for after in drawn} == {1}


def test_an_image_without_lesion_stays() -> None:
    item = with_lesion(np.zeros((128, 128), dtype=bool))
    after = RandCoverLesiond(prob=0.5).set_random_state(0)(item)
    assert after["image"] is item["image"]
    assert after["label"] is item["label"]
