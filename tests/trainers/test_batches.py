"""Batches become plain tensors."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bus_monai.trainers.batches import fitting_batch_size, prepare_box_batch, prepare_plain_batch, prepare_plain_image


def test_images_and_labels_are_plain_and_the_same() -> None:
    image, label = torch.rand(2, 1, 4, 6), torch.rand(2, 1, 4, 6)
    batch = {"image": MetaTensor(image), "label": label}
    plain, truth = prepare_plain_batch(batch)
    assert type(plain) is type(truth) is type(prepare_plain_image(batch)) is torch.Tensor
    assert torch.equal(plain, image)
    assert torch.equal(truth, label)


def test_boxes_become_shares_of_their_images() -> None:
    items = [
        {"image": MetaTensor(torch.zeros(1, 20, 40)), "boxes": torch.tensor([[5.0, 10.0, 15.0, 20.0]])},
        {"image": MetaTensor(torch.ones(1, 20, 40)), "boxes": torch.zeros(0, 4)},
    ]
    images, boxes = prepare_box_batch(items)
    assert images.shape == (2, 1, 20, 40)
    assert images.flatten(1).mean(1).tolist() == [0, 1]
    assert [one.tolist() for one in boxes] == [[[0.25, 0.25, 0.5, 0.75]], []]


@pytest.mark.parametrize(("wanted", "images", "size"), [(8, 100, 8), (8, 5, 5), (8, 1, 2), (1, 100, 2)])
def test_a_batch_is_no_larger_than_the_data_and_holds_two(wanted: int, images: int, size: int) -> None:
    assert fitting_batch_size(wanted, range(images)) == size
