"""The validation loss is that of logits, each image counted once."""

from __future__ import annotations

import pytest
import torch
from monai.engines.evaluator import SupervisedEvaluator
from monai.transforms.post.dictionary import Activationsd
from torch import nn

from bus_monai.handlers.validation_loss import ValidationLoss
from bus_monai.losses.region import make_region_loss


@pytest.mark.parametrize("name", ["bce", "dice"])
def test_mean_over_the_images_before_the_sigmoid(name: str) -> None:
    torch.manual_seed(0)
    # logits beyond which a sigmoid in float32 is 1
    image, label = 40 * torch.randn(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) > 0.5).float()
    loss = make_region_loss(name)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": image[:2], "label": label[:2]}, {"image": image[2:], "label": label[2:]}],
        network=nn.Identity(),
        postprocessing=Activationsd(keys="pred", sigmoid=True),
        val_handlers=[ValidationLoss(loss=loss)],
    )
    evaluator.run()
    expected = sum(float(loss(image[i : i + 1], label[i : i + 1])) for i in range(3)) / 3
    assert evaluator.state.metrics["loss"] == pytest.approx(expected, rel=1e-6)
