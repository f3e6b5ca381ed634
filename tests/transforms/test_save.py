"""Masks on their way to a file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from PIL import Image

from bus_monai.transforms.save import SaveMaskd

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
