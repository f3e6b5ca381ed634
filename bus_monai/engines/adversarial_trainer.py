"""The Ignite engine of the GANs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.engines.trainer import Trainer
from monai.inferers.inferer import Inferer, SimpleInferer
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from bus_monai.engines.frozen import frozen, plain
from bus_monai.engines.prepare_batch import prepare_plain_batch
from bus_monai.engines.resumable_trainer import ResumableTrainer
from bus_monai.engines.schedule import GeneratorOnly, Schedule, Step
from bus_monai.engines.seeded_epochs import SeededEpochs
from bus_monai.errors import UserError
from bus_monai.losses.adversarial import AdversarialObjective

G_GRADIENT_NORM = "g_gradient_norm"
D_GRADIENT_NORM = "d_gradient_norm"


class AdversarialTrainer(ResumableTrainer):
    """Train a segmentation network, with or against a discriminator of its masks.

    MONAI's own ``GanTrainer`` knows no labels and its ``AdversarialTrainer`` shows the discriminator the input image
    as the real sample; here the real sample is the true mask, alone or beside its image, and the fake one the
    predicted probability map. Which losses the two networks have (``objective``), who learns when (``schedule``) and
    on which data (``train_data_loader``) are parts. The network that does not learn in a step is frozen: it runs in
    evaluation mode and neither its parameters nor its buffers change. MONAI's keys and events
    (``AdversarialKeys``, ``AdversarialIterationEvents``) hold the losses of each iteration, so its handlers attach.

    Two runs with one seed give the same weights, and so does a run that was killed and resumed through
    ``state_dict`` at the end of an epoch: the chance of an epoch depends on the seed and its number alone.

    Args:
        device: where the networks are.
        max_epochs: epochs in all, those of pre-training among them.
        train_data_loader: yields batches with ``image`` (B, 1, H, W) in [0, 1] and ``label`` (B, 1, H, W) in {0, 1}.
        g_network: (B, 1, H, W) to logits (B, 1, H, W).
        g_optimizer: of the generator.
        region_loss: of (logits, mask), a scalar.
        d_network: scores an image and a mask (B, 2, H, W), or a mask alone; ``None`` without an adversary.
        d_optimizer: of the discriminator.
        objective: the adversarial losses; ``None`` without an adversary.
        g_inferer: runs the generator in its own steps.
        g_average: moving average of the generator's weights, updated after each of its steps.
        schedule: order of the steps; :class:`~bus_monai.engines.schedule.GeneratorOnly` by default.
        weights: ``region`` and ``adversarial``, factors of the generator's two losses.
        conditional: whether the discriminator sees the image beside the mask.
        pretrain_epochs: first epochs in which the generator alone learns, by the region loss alone.
        max_grad_norm: clip the norm of each network's gradient; ``None`` leaves it.
        lr_schedulers: stepped between epochs.
        seed: of shuffling and augmentation.
        amp: mixed precision, bfloat16 on processors that are fast in it and float16 with loss scaling on CUDA.
        prepare_batch: batch, device and ``non_blocking`` to (image, label).
        non_blocking: copy to the device without waiting.
        train_handlers: Ignite handlers.
        key_train_metric: as in MONAI's trainers.
        additional_metrics: as in MONAI's trainers.

    Raises:
        UserError: parts that do not go together, or, while training, a loss that is not finite.

    Example:
        >>> from bus_monai.engines.schedule import Blocked
        >>> from bus_monai.losses.adversarial import WassersteinObjective
        >>> trainer = AdversarialTrainer(                       # doctest: +SKIP
        ...     device="cpu", max_epochs=60, pretrain_epochs=10, train_data_loader=loader,
        ...     g_network=g, g_optimizer=Adam(g.parameters(), 1e-4), region_loss=DiceLoss(sigmoid=True, batch=True),
        ...     d_network=d, d_optimizer=Adam(d.parameters(), 1e-4), objective=WassersteinObjective(),
        ...     schedule=Blocked(), weights={"region": 1.0, "adversarial": 0.01})
        >>> trainer.run()                                       # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        device: str | torch.device,
        max_epochs: int,
        train_data_loader: DataLoader[Any],
        g_network: nn.Module,
        g_optimizer: Optimizer,
        region_loss: Callable[[Tensor, Tensor], Tensor],
        d_network: nn.Module | None = None,
        d_optimizer: Optimizer | None = None,
        objective: AdversarialObjective | None = None,
        g_inferer: Inferer | None = None,
        g_average: AveragedModel | None = None,
        schedule: Schedule | None = None,
        weights: Mapping[str, float] | None = None,
        conditional: bool = True,
        pretrain_epochs: int = 0,
        max_grad_norm: float | None = None,
        lr_schedulers: Sequence[LRScheduler] = (),
        seed: int = 0,
        amp: bool = False,
        prepare_batch: Callable[..., tuple[Tensor, Tensor]] = prepare_plain_batch,
        non_blocking: bool = False,
        train_handlers: Sequence[Any] | None = None,
        key_train_metric: dict[str, Any] | None = None,
        additional_metrics: dict[str, Any] | None = None,
    ) -> None:
        self.schedule = schedule or GeneratorOnly()
        self.objective = objective
        plays = not isinstance(self.schedule, GeneratorOnly)
        if plays and (d_network is None or d_optimizer is None or objective is None):
            raise UserError(
                f"The schedule {type(self.schedule).__name__} trains a discriminator: give the trainer d_network, "
                "d_optimizer and objective, or the schedule GeneratorOnly."
            )
        self.epochs = SeededEpochs(train_data_loader, seed=seed)
        batches = len(train_data_loader)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=_EpochIterations(self, batches),
            epoch_length=self.schedule.epoch_length(batches),
            non_blocking=non_blocking,
            prepare_batch=prepare_batch,
            key_metric=key_train_metric,
            additional_metrics=additional_metrics,
            handlers=None,
            decollate=False,
        )
        self._set_up(seed=seed, amp=amp, max_grad_norm=max_grad_norm, lr_schedulers=lr_schedulers)
        self.g_network, self.g_optimizer = g_network, g_optimizer
        self.d_network, self.d_optimizer = d_network, d_optimizer
        self.g_inferer = g_inferer or SimpleInferer()
        self.g_average = g_average
        self.region_loss = region_loss
        self.weights = {"region": 1.0, "adversarial": 0.01} | dict(weights or {})
        self.conditional = conditional
        self.pretrain_epochs = pretrain_epochs
        self.g_scaler, self.d_scaler = self._make_scaler(), self._make_scaler()
        self._register_handlers(train_handlers or ())

    @property
    def is_pretraining(self) -> bool:
        """Whether the current epoch is one of pre-training."""
        pretraining: bool = self.state.epoch <= self.pretrain_epochs
        return pretraining

    @property
    def stage(self) -> str:
        """``pre-training`` or ``training``."""
        return "pre-training" if self.is_pretraining else "training"

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
        self.g_network.train()
        with self._autocast():
            logits: Tensor = self.g_inferer(image, self.g_network).float()
        self.state.output[Keys.PRED] = self.state.output[AdversarialKeys.FAKES] = logits
        self.fire_event(AdversarialIterationEvents.GENERATOR_FORWARD_COMPLETED)
        return logits

    def _frozen_prediction(self, image: Tensor) -> Tensor:
        with torch.no_grad(), frozen(plain(self.g_network)) as generator, self._autocast():
            logits: Tensor = generator(image)
            return logits.float().sigmoid()

    def _teach_generator(self, image: Tensor, mask: Tensor, logits: Tensor) -> None:
        output, fire = self.state.output, self.fire_event
        self.g_optimizer.zero_grad(set_to_none=True)
        region = self.region_loss(logits, mask)
        output[AdversarialKeys.RECONSTRUCTION_LOSS] = region.detach()
        fire(AdversarialIterationEvents.RECONSTRUCTION_LOSS_COMPLETED)

        if self.objective is None or self.is_pretraining:
            loss = region
        else:
            with frozen(plain(self.d_network)) as critic, self._autocast():
                fake_logits = critic(self._pair(image, logits.sigmoid())).float()
            output[AdversarialKeys.FAKE_LOGITS] = fake_logits.detach()
            fire(AdversarialIterationEvents.GENERATOR_DISCRIMINATOR_FORWARD_COMPLETED)
            adversarial = self.objective.generator_loss(fake_logits)
            output[AdversarialKeys.GENERATOR_LOSS] = adversarial.detach()
            fire(AdversarialIterationEvents.GENERATOR_LOSS_COMPLETED)
            loss = self.weights["region"] * region + self.weights["adversarial"] * adversarial

        output[Keys.LOSS] = loss.detach()
        torch.autograd.backward(self.g_scaler.scale(loss))
        fire(AdversarialIterationEvents.GENERATOR_BACKWARD_COMPLETED)
        output[G_GRADIENT_NORM] = self._update(self.g_network, self.g_optimizer, self.g_scaler)
        if self.g_average is not None:
            self.g_average.update_parameters(plain(self.g_network))
        fire(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED)

    def _teach_discriminator(self, image: Tensor, mask: Tensor, fake_mask: Tensor) -> None:
        assert self.d_network is not None
        assert self.d_optimizer is not None
        assert self.objective is not None
        output, fire = self.state.output, self.fire_event
        output[AdversarialKeys.FAKES] = fake_mask
        real, fake = self._pair(image, mask), self._pair(image, fake_mask)

        self.d_network.train()
        self.d_optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            # in one batch: batch norm would take each half's own mean away, and with it what tells them apart
            real_logits, fake_logits = self.d_network(torch.cat([real, fake])).float().chunk(2)
        output[AdversarialKeys.REAL_LOGITS] = real_logits.detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_REALS_FORWARD_COMPLETED)
        output[AdversarialKeys.FAKE_LOGITS] = fake_logits.detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_FAKES_FORWARD_COMPLETED)

        loss = self.objective.discriminator_loss(real_logits, fake_logits)
        penalty = self.objective.penalty(plain(self.d_network), real, fake)
        if penalty is not None:
            loss = loss + penalty
        output[AdversarialKeys.DISCRIMINATOR_LOSS] = loss.detach()
        output[self.objective.discriminator_metric] = self.objective.measure(real_logits, fake_logits).detach()
        fire(AdversarialIterationEvents.DISCRIMINATOR_LOSS_COMPLETED)

        torch.autograd.backward(self.d_scaler.scale(loss))
        fire(AdversarialIterationEvents.DISCRIMINATOR_BACKWARD_COMPLETED)
        output[D_GRADIENT_NORM] = self._update(self.d_network, self.d_optimizer, self.d_scaler)
        self.objective.after_discriminator_step(self.d_network)
        fire(AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED)

    def _pair(self, image: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([image, mask], dim=1) if self.conditional else mask

    def _stateful_parts(self) -> Iterator[tuple[str, Any]]:
        yield "g_network", plain(self.g_network)
        yield "g_optimizer", self.g_optimizer
        yield "g_scaler", self.g_scaler
        if self.g_average is not None:
            yield "g_average", self.g_average
        if self.objective is not None:
            yield "d_network", plain(self.d_network)
            yield "d_optimizer", self.d_optimizer
            yield "d_scaler", self.d_scaler


class _EpochIterations:
    """The trainer's data: iterating it once gives one epoch's lists of steps."""

    def __init__(self, trainer: AdversarialTrainer, batches: int) -> None:
        self.trainer = trainer
        self.batches = batches

    def __iter__(self) -> Iterator[list[Step]]:
        # a generator, so that nothing is drawn before the epoch's first iteration asks for it
        trainer = self.trainer
        yield from trainer.schedule.iterations(
            trainer.epochs.passes(trainer.state.epoch), batches=self.batches, pretraining=trainer.is_pretraining
        )
