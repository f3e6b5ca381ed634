"""A mask behind the network: cleaned, against plain loops, and on its way to a file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray
from PIL import Image

from bus_monai.transforms.masks import Morphology, Morphologyd, SaveMaskd

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def clean(mask: NDArray) -> NDArray:
    return Morphology()(torch.from_numpy(mask.astype(np.float32))[None])[0].numpy() > 0


def window(mask: NDArray, row: int, column: int, before: int, after: int) -> NDArray:
    """The pixels of the window that lie inside the image."""
    rows = slice(max(row - before, 0), row + after + 1)
    return mask[rows, max(column - before, 0) : column + after + 1]


def by_loops(mask: NDArray) -> NDArray:
    for take, before, after in ((np.any, 1, 1), (np.all, 1, 1), (np.all, 1, 0), (np.any, 1, 1)):
        mask = np.array(
            [[take(window(mask, r, c, before, after)) for c in range(mask.shape[1])] for r in range(mask.shape[0])]
        )
    return mask


@settings(max_examples=60)
@given(MASKS)
def test_any_mask(mask: NDArray) -> None:
    np.testing.assert_array_equal(clean(mask), by_loops(mask))


@settings(max_examples=40)
@given(MASKS, st.data())
def test_more_in_is_more_out(mask: NDArray, data: st.DataObject) -> None:
    larger = mask | data.draw(hnp.arrays(np.bool_, mask.shape))
    assert not (clean(mask) & ~clean(larger)).any()


@settings(max_examples=40)
@given(hnp.arrays(np.bool_, (6, 7)), st.integers(0, 9), st.integers(0, 9))
def test_a_shifted_mask_gives_the_shifted_result(mask: NDArray, down: int, right: int) -> None:
    def placed(row: int, column: int) -> NDArray:
        whole = np.zeros((24, 24), dtype=bool)
        whole[row : row + 6, column : column + 7] = mask
        return whole

    shifted = np.roll(clean(placed(4, 4)), (down, right), axis=(0, 1))
    np.testing.assert_array_equal(clean(placed(4 + down, 4 + right)), shifted)


@pytest.mark.parametrize("side", [2, 3, 10])
def test_the_center_moves_by_half_a_pixel_and_no_more(side: int) -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[4 : 4 + side, 5 : 5 + side] = True
    after = clean(mask)
    expected = np.zeros_like(mask)
    expected[4 : 5 + side, 5 : 6 + side] = True
    np.testing.assert_array_equal(after, expected)
    shift = np.argwhere(after).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    assert shift.tolist() == [0.5, 0.5]


def test_single_pixels_and_lines_go_and_holes_close() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[3, 3] = mask[6, :8] = True
    assert not clean(mask).any()
    mask[9:18, 9:18] = True
    mask[12:14, 12:14] = False
    expected = np.zeros_like(mask)
    expected[9:19, 9:19] = True
    np.testing.assert_array_equal(clean(mask), expected)


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay(value: bool) -> None:
    mask = np.full((5, 7), value)
    np.testing.assert_array_equal(clean(mask), mask)


def test_a_mask_at_the_border_stays_there() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[:4, 8:] = True
    expected = np.zeros_like(mask)
    expected[:5, 8:] = True
    np.testing.assert_array_equal(clean(mask), expected)


def test_dictionary_type_and_metadata() -> None:
    mask = MetaTensor(torch.ones(1, 4, 4, dtype=torch.uint8), meta={"filename_or_obj": "a.png"})
    out = Morphologyd("pred")({"pred": mask, "image": 1})
    assert out["pred"].meta["filename_or_obj"] == "a.png"
    assert out["pred"].dtype == torch.uint8
    assert out["image"] == 1
    assert Morphologyd("pred", allow_missing_keys=True)({"image": 1}) == {"image": 1}
    with pytest.raises(KeyError):
        Morphologyd("pred")({"image": 1})


PROBABILITY = torch.tensor([[[0.4, 0.5, 0.6], [0.0, 0.2, 1.0]]])


def test_a_mask_is_written_where_the_item_says(tmp_path: Path) -> None:
    source, output = tmp_path / "i.png", tmp_path / "masks" / "i_mask.png"
    Image.fromarray(np.ones((2, 3), np.uint8)).save(source)
    item = {"pred": PROBABILITY, "source": str(source), "output": str(output)}
    assert SaveMaskd()(item)["pred"] is PROBABILITY
    assert np.asarray(Image.open(output)).tolist() == [[0, 255, 255], [0, 0, 255]]
    pred = MetaTensor(PROBABILITY, meta={"filename_or_obj": str(source)})
    np.testing.assert_array_equal(SaveMaskd()({"pred": pred})["pred"].affine, np.diag([-1, -1, 1, 1]))


def test_else_the_item_holds_it_columns_first_with_the_affine(tmp_path: Path) -> None:
    affine = np.array([[-0.2, 0, 0, 3], [0, 0.1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]])
    path = tmp_path / "i.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 2), np.uint8), affine), path)
    pred = MetaTensor(PROBABILITY, meta={"filename_or_obj": str(path)})
    mask = SaveMaskd(threshold=0.55)({"pred": pred})["pred"]
    assert mask.dtype == torch.uint8
    assert mask[0, ..., 0].tolist() == [[0, 0], [0, 0], [1, 1]]
    np.testing.assert_allclose(mask.affine, affine, atol=1e-7)
