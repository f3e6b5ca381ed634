"""The Ignite engine of the GANs, and of networks without an adversary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.engines.trainer import Trainer
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor
from torch.utils.data import DataLoader

from bus_monai.errors import UserError
from bus_monai.trainers.base import EpochData, ResumableTrainer, SeededEpochs, frozen, plain
from bus_monai.trainers.batches import prepare_plain_batch
from bus_monai.trainers.parts import Discriminator, Generator, Updates
from bus_monai.trainers.schedule import GeneratorOnly, Schedule, Step

G_GRADIENT_NORM = "g_gradient_norm"
D_GRADIENT_NORM = "d_gradient_norm"


class AdversarialTrainer(ResumableTrainer):
    """Train a segmentation network, with or against a discriminator of its masks.

    MONAI's own ``GanTrainer`` knows no labels and its ``AdversarialTrainer`` shows the discriminator the input image
    as the real sample; here the real sample is the true mask, alone or beside its image, and the fake one the
    predicted probability map. Which losses the two networks have (``discriminator.objective``), who learns when
    (``schedule``) and on which data (``train_data_loader``) are parts. The network that does not learn in a step is
    frozen: its parameters do not change, and it runs in evaluation mode, so that its buffers do not either, but for a
    discriminator with separate batches. MONAI's keys and events
    (``AdversarialKeys``, ``AdversarialIterationEvents``) hold the losses of each iteration, so its handlers attach.

    Two runs with one seed give the same weights, and so does a run that was killed and resumed through
    ``state_dict`` at the end of an epoch: the chance of an epoch depends on the seed and its number alone.

    Args:
        device: where the networks are.
        max_epochs: epochs in all, those of pre-training among them.
        train_data_loader: yields batches with ``image`` (B, 1, H, W) in [0, 1] and ``label`` (B, 1, H, W) in {0, 1}.
        generator: the segmentation network and what belongs to it.
        region_loss: of (logits, mask), a scalar.
        discriminator: the adversary and its objective; ``None`` without an adversary.
        schedule: order of the steps, with the epochs of pre-training; a must with an adversary, and without one
            :class:`~bus_monai.trainers.schedule.GeneratorOnly`.
        weights: ``region`` and ``adversarial``, factors of the generator's two losses; 1 and 0.001 by default.
        updates: gradient clipping, learning rates and precision.
        seed: of shuffling and augmentation.
        prepare_batch: batch, device and ``non_blocking`` to (image, label).
        train_handlers: Ignite handlers.

    Raises:
        UserError: an adversary without a schedule that trains it, such a schedule without an adversary, or, while
            training, a loss that is not finite.

    Example:
        >>> from monai.losses.dice import DiceLoss
        >>> from torch import nn
        >>> from torch.optim import Adam
        >>> from bus_monai.trainers.schedule import Blocked
        >>> from bus_monai.losses.adversarial import WassersteinObjective
        >>> items = [{"image": torch.rand(1, 8, 8), "label": torch.ones(1, 8, 8)} for _ in range(4)]
        >>> g = nn.Conv2d(1, 1, 3, padding=1)
        >>> d = nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(144, 1))
        >>> trainer = AdversarialTrainer(
        ...     device="cpu",
        ...     max_epochs=2,
        ...     train_data_loader=DataLoader(items, batch_size=2, shuffle=True),
        ...     generator=Generator(network=g, optimizer=Adam(g.parameters(), 1e-4)),
        ...     region_loss=DiceLoss(sigmoid=True, batch=True),
        ...     discriminator=Discriminator(
        ...         network=d, optimizer=Adam(d.parameters(), 1e-4, betas=(0.5, 0.9)), objective=WassersteinObjective()
        ...     ),
        ...     schedule=Blocked(pretrain_epochs=1),
        ...     weights={"region": 1.0, "adversarial": 0.001},
        ... )
        >>> trainer.run()
        >>> trainer.state.epoch, trainer.stage
        (2, 'training')
    """

    def __init__(
        self,
        *,
        device: str | torch.device,
        max_epochs: int,
        train_data_loader: DataLoader[Any],
        generator: Generator,
        region_loss: Callable[[Tensor, Tensor], Tensor],
        discriminator: Discriminator | None = None,
        schedule: Schedule | None = None,
        weights: Mapping[str, float] | None = None,
        updates: Updates | None = None,
        seed: int = 0,
        prepare_batch: Callable[..., tuple[Tensor, Tensor]] = prepare_plain_batch,
        train_handlers: Sequence[Any] = (),
    ) -> None:
        self.schedule = schedule or GeneratorOnly()
        plays = not isinstance(self.schedule, GeneratorOnly)
        if plays and discriminator is None:
            raise UserError(
                f"The schedule {type(self.schedule).__name__} trains a discriminator: give the trainer one, or the "
                "schedule GeneratorOnly."
            )
        if discriminator is not None and not plays:
            raise UserError(
                "The trainer has a discriminator and no schedule that trains it: give it Paired, Blocked or "
                "Interleaved, or leave the discriminator out."
            )
        if plays and self.schedule.pretrain_epochs >= max_epochs:
            raise UserError(
                f"Of {max_epochs} epochs {self.schedule.pretrain_epochs} come before the discriminator, which would "
                "never learn: give more epochs, or leave it out.",
                key="pretrain_epochs",
            )
        self.pretrain_epochs = self.schedule.pretrain_epochs
        self.epochs = SeededEpochs(train_data_loader, seed=seed)
        self.batches = len(train_data_loader)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=EpochData(self),
            epoch_length=self.schedule.epoch_length(self.batches),
            prepare_batch=prepare_batch,
            decollate=False,
        )
        self._set_up(seed=seed, updates=updates or Updates())
        self.generator, self.discriminator = generator, discriminator
        self.region_loss = region_loss
        self.weights = {"region": 1.0, "adversarial": 0.001} | dict(weights or {})
        self.g_scaler, self.d_scaler = self._make_scaler(), self._make_scaler()
        self._register_handlers(train_handlers)

    @property
    def is_pretraining(self) -> bool:
        """Whether the current epoch is one of pre-training."""
        pretraining: bool = self.state.epoch <= self.pretrain_epochs
        return pretraining

    @property
    def stage(self) -> str:
        """``pre-training`` or ``training``."""
        return "pre-training" if self.is_pretraining else "training"

    @property
    def stage_end(self) -> int:
        """Last epoch of pre-training, or of all."""
        last: int = self.state.max_epochs
        return min(self.pretrain_epochs, last) if self.is_pretraining else last

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take other weights of the generator; its optimizer starts anew."""
        plain(self.generator.network).load_state_dict(weights)
        self.generator.optimizer.state.clear()

    def epoch_iterations(self) -> Iterator[list[Step]]:
        """Yield the steps of each iteration of the current epoch."""
        passes = self.epochs.passes(self.state.epoch)
        return self.schedule.iterations(passes, batches=self.batches, pretraining=self.is_pretraining)

    def _iteration(self, engine: Trainer, batchdata: list[Step]) -> dict[str, Any]:
        """Take the steps of one iteration; return MONAI's keys, losses as detached scalars."""
        # handlers and events read the output while it grows
        output: dict[str, Any] = {}
        self.state.output = output
        for step in batchdata:
            image, mask = self.prepare_batch(step.batch, self.state.device, self.non_blocking)
            output.update({Keys.IMAGE: image, Keys.LABEL: mask, AdversarialKeys.REALS: mask})
            if step.network == "discriminator":
                self._teach_discriminator(image, mask, self._frozen_prediction(image))
                continue
            logits = self._predict(image)
            if step.network == "both":
                self._teach_discriminator(image, mask, logits.detach().sigmoid())
            self._teach_generator(image, mask, logits)
        return output

    def _predict(self, image: Tensor) -> Tensor:
        self.generator.network.train()
        with self._forward_pass():
            logits: Tensor = self.generator.inferer(image, self.generator.network).float()
        self.state.output[Keys.PRED] = self.state.output[AdversarialKeys.FAKES] = logits
        self.fire_event(AdversarialIterationEvents.GENERATOR_FORWARD_COMPLETED)
        return logits

    def _frozen_prediction(self, image: Tensor) -> Tensor:
        with torch.no_grad(), frozen(plain(self.generator.network)) as generator, self._forward_pass():
            logits: Tensor = generator(image)
            return logits.float().sigmoid()

    def _teach_generator(self, image: Tensor, mask: Tensor, logits: Tensor) -> None:
        output, fire, g, d = self.state.output, self.fire_event, self.generator, self.discriminator
        g.optimizer.zero_grad(set_to_none=True)
        region = self.region_loss(logits, mask)
        output[AdversarialKeys.RECONSTRUCTION_LOSS] = region.detach()
        fire(AdversarialIterationEvents.RECONSTRUCTION_LOSS_COMPLETED)

        if d is None or self.is_pretraining:
            loss = region
        else:
            with frozen(plain(d.network), training=d.batches == "separate") as critic, self._forward_pass():
                fake_logits = critic(d.shown(image, logits.sigmoid())).float()
            output[AdversarialKeys.FAKE_LOGITS] = fake_logits.detach()
            fire(AdversarialIterationEvents.GENERATOR_DISCRIMINATOR_FORWARD_COMPLETED)
            adversarial = d.objective.generator_loss(fake_logits)
            output[AdversarialKeys.GENERATOR_LOSS] = adversarial.detach()
            fire(AdversarialIterationEvents.GENERATOR_LOSS_COMPLETED)
            loss = self.weights["region"] * region + self.weights["adversarial"] * adversarial

        output[Keys.LOSS] = loss.detach()
        torch.autograd.backward(self.g_scaler.scale(loss))
        fire(AdversarialIterationEvents.GENERATOR_BACKWARD_COMPLETED)
        output[G_GRADIENT_NORM] = self._update(g.network, g.optimizer, self.g_scaler)
        if g.average is not None:
            g.average.update_parameters(plain(g.network))
        fire(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED)

    def _teach_discriminator(self, image: Tensor, mask: Tensor, fake_mask: Tensor) -> None:
        assert self.discriminator is not None
        output, fire, d = self.state.output, self.fire_event, self.discriminator
        output[AdversarialKeys.FAKES] = fake_mask
        real, fake = d.shown(image, mask, real=True), d.shown(image, fake_mask)

        d.network.train()
        d.optimizer.zero_grad(set_to_none=True)
        with self._forward_pass():
            if d.batches == "separate":
                real_logits, fake_logits = d.network(real).float(), d.network(fake).float()
            else:
                # apart, batch norm takes each half's own mean away, and with it most of the difference of their scores
                real_logits, fake_logits = d.network(torch.cat([real, fake])).float().chunk(2)
        output[AdversarialKeys.REAL_LOGITS] = real_logits.detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_REALS_FORWARD_COMPLETED)
        output[AdversarialKeys.FAKE_LOGITS] = fake_logits.detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_FAKES_FORWARD_COMPLETED)

        loss = d.objective.discriminator_loss(real_logits, fake_logits)
        penalty = d.objective.penalty(plain(d.network), real, fake)
        if penalty is not None:
            loss = loss + penalty
        output[AdversarialKeys.DISCRIMINATOR_LOSS] = loss.detach()
        output[d.objective.discriminator_metric] = d.objective.measure(real_logits, fake_logits).detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_LOSS_COMPLETED)

        torch.autograd.backward(self.d_scaler.scale(loss))
        fire(AdversarialIterationEvents.DISCRIMINATOR_BACKWARD_COMPLETED)
        output[D_GRADIENT_NORM] = self._update(d.network, d.optimizer, self.d_scaler)
        d.objective.after_discriminator_step(d.network)
        fire(AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED)

    def _stateful_parts(self) -> Iterator[tuple[str, Any]]:
        yield "g_network", plain(self.generator.network)
        yield "g_optimizer", self.generator.optimizer
        yield "g_scaler", self.g_scaler
        if self.generator.average is not None:
            yield "g_average", self.generator.average
        if self.discriminator is not None:
            yield "d_network", plain(self.discriminator.network)
            yield "d_optimizer", self.discriminator.optimizer
            yield "d_scaler", self.d_scaler
