"""A discriminator's real and fake masks in one batch or in two."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ignite.engine import Events
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import nn

from bus_monai.losses.adversarial import BCEObjective
from bus_monai.trainers.parts import Discriminator
from bus_monai.trainers.schedule import Paired
from tests.trainers.small_run import make_trainer
from tests.user_errors import raises_user_error


class Recorder(nn.Module):
    """A discriminator that keeps what it is shown and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, momentum=None)
        self.calls: list[tuple[bool, torch.Tensor]] = []

    def forward(self, mask: torch.Tensor) -> torch.Tensor:
        self.calls.append((self.training, mask.detach().clone()))
        return self.norm(mask)


def record(batches: str) -> tuple[Recorder, dict]:
    trainer = make_trainer(
        gan_mode="bce", conditional=False, batches=batches, kind=Paired, max_epochs=1, pretrain_epochs=0
    )
    network = Recorder()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    trainer.discriminator = replace(trainer.discriminator, network=network, optimizer=optimizer)
    outputs: list[dict] = []
    trainer.add_event_handler(
        AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED, lambda: outputs.append(dict(trainer.state.output))
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), trainer.terminate)
    trainer.run()
    return network, outputs[0]


def test_separate_batches_are_two_passes_and_a_third_in_train_mode_for_the_generator() -> None:
    network, output = record("separate")
    assert [training for training, _ in network.calls] == [True, True, True]
    (_, real), (_, fake), (_, judged) = network.calls
    torch.testing.assert_close(real, output["label"])
    torch.testing.assert_close(fake, output[AdversarialKeys.FAKES])
    torch.testing.assert_close(judged, fake)
    # each pass is normalized by its own mean, and the running one is the mean of the three passes
    for key in (AdversarialKeys.REAL_LOGITS, AdversarialKeys.FAKE_LOGITS):
        assert float(output[key].mean()) == pytest.approx(0, abs=1e-5)
    expected = (real.mean() + fake.mean() + judged.mean()) / 3
    assert float(network.norm.running_mean) == pytest.approx(float(expected), abs=1e-5)
    assert all(p.requires_grad for p in network.parameters())
    assert network.training


def test_a_joint_batch_is_one_pass_and_the_generator_is_judged_in_evaluation_mode() -> None:
    network, output = record("joint")
    assert [training for training, _ in network.calls] == [True, False]
    torch.testing.assert_close(network.calls[0][1], torch.cat([output["label"], output[AdversarialKeys.FAKES]]))
    assert float(output[AdversarialKeys.REAL_LOGITS].mean()) != pytest.approx(0, abs=1e-3)
    assert float(network.norm.running_mean) == pytest.approx(float(network.calls[0][1].mean()), abs=1e-5)


@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_real_masks_alone_are_blurred_and_keep_their_area(blur: float) -> None:
    network = nn.Identity()
    part = Discriminator(
        network=network, optimizer=torch.optim.SGD([torch.zeros(1)], 1.0), objective=BCEObjective(), real_blur=blur
    )
    image, mask = torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 8:20, :] = 1  # cut off at both sides
    assert torch.equal(part.shown(image, mask), torch.cat([image, mask], dim=1))
    seen = part.shown(image, mask, real=True)
    assert torch.equal(seen[:, :1], image)
    real = seen[0, 1]
    torch.testing.assert_close(real.sum(), mask.sum(), rtol=1e-3, atol=0)
    # beside a step the integral of the Gaussian, and the same at the border as inside
    inside = 0.5 * (1 + math.erf(0.5 / (blur * math.sqrt(2)))) if blur else 1.0
    assert float(real[8, 16]) == pytest.approx(inside, abs=0.02)
    torch.testing.assert_close(real[:, 0], real[:, 16])


def test_unknown_batches_and_a_blur_below_nothing_are_refused() -> None:
    with raises_user_error(key="discriminator_batches"):
        make_trainer(batches="apart")
    with raises_user_error(key="real_blur"):
        replace(make_trainer().discriminator, real_blur=-1.0)
