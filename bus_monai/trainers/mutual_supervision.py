"""The trainer of ASSGAN, and its semi-supervised batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import torch
from ignite.engine import Events
from monai.engines.trainer import Trainer
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bus_monai.errors import UserError, check_choice
from bus_monai.losses.mutual_supervision import GAMMAS, MutualSupervision
from bus_monai.trainers.base import EpochData, ResumableTrainer, SeededEpochs, frozen, logger, plain
from bus_monai.trainers.batches import prepare_plain_batch, prepare_plain_image
from bus_monai.trainers.parts import Learner, Updates

TRAINING_METHODS = ("assgan", "hung", "supervised")
DEFAULT_WEIGHTS = {"adversarial": 0.01, "adversarial_unlabeled": 0.001, "semi": 1.0}
"""After Hung et al., BMVC 2018; ASSGAN prints none, that is 1 for each."""
SEMI_LOSS = "semi_loss"
REALISM_REAL = "realism_real"
REALISM_FAKE = "realism_fake"


class SemiSupervisedBatches(NamedTuple):
    """Labeled and unlabeled batch of an iteration; ``None`` for a missing one."""

    labeled: Any = None
    unlabeled: Any = None


def semi_supervised_batches(
    labeled: Iterator[Iterable[Any]] | None, unlabeled: Iterator[Iterable[Any]] | None, *, length: int
) -> Iterator[SemiSupervisedBatches]:
    """Yield the batches of each iteration of an epoch.

    One pass over the unlabeled data, each batch beside the next labeled one of as many passes as it takes; without
    unlabeled data one pass over the labeled. Then empty iterations, so that all epochs are of one length and the
    position in training is one number.

    Args:
        labeled: endless passes over the labeled data, or ``None``.
        unlabeled: endless passes over the unlabeled data, or ``None``; not both.
        length: iterations of the epoch, at least the batches of a pass.
    """
    if unlabeled is not None:
        beside = repeat(None) if labeled is None else chain.from_iterable(labeled)
        # the unlabeled batch first: where it ends, no labeled one is drawn in vain
        filled = (SemiSupervisedBatches(known, batch) for batch, known in zip(next(unlabeled), beside, strict=False))
    else:
        assert labeled is not None
        filled = (SemiSupervisedBatches(batch) for batch in next(labeled))
    taken = 0
    for batches in filled:
        yield batches
        taken += 1
    for _ in range(taken, length):
        yield SemiSupervisedBatches()


@dataclass(frozen=True, kw_only=True)
class TwoPhases:
    """Options of the two phases of ASSGAN.

    Args:
        phase1_epochs: those of phase 1; the paper's 200.
        method: ``assgan``; ``hung``, where one generator learns from its own trusted masks and the discriminator from
            labeled images alone; or ``supervised``, cross-entropy on labeled images in both phases.
        separate_ce_step: in phase 1 the generators take a step on the cross-entropy, then one on the adversarial loss,
            as Algorithm 1 prints it, in place of one on the sum.
        binarized_fakes: the discriminator learns that predicted masks are fake as probabilities and as they are where
            they teach, 0 or 1. From probabilities alone it learns that what is soft is fake, and trusts all that is
            hard.
        hard_scores: the discriminator scores pseudo-labels as they are, 0 or 1, in place of the probabilities behind
            them, which it may reject for their softness alone, having seen only hard masks as real.
        phase2_use_labeled: phase 2 goes on with labeled batches too.
        phase2_update_d: the discriminator, where there is one, learns in phase 2 too.

    Raises:
        UserError: unknown method.
    """

    phase1_epochs: int
    method: str = "assgan"
    separate_ce_step: bool = False
    binarized_fakes: bool = False
    hard_scores: bool = False
    phase2_use_labeled: bool = True
    phase2_update_d: bool = True

    def __post_init__(self) -> None:
        check_choice("method", self.method, TRAINING_METHODS)


class MutualSupervisionTrainer(ResumableTrainer):
    """Train one or two segmenters with few labels: what the discriminator trusts of one teaches the other.

    In phase 1 an iteration is a labeled batch: a step of each generator on cross-entropy and adversarial loss, then
    one of the discriminator. In phase 2 it is an unlabeled batch beside a labeled one, and trusted masks of either
    generator are pseudo-labels of the other. Zhai et al., ASSGAN, Neurocomputing 493, 2022, doi
    10.1016/j.neucom.2022.04.021, Algorithms 1 and 2. Its Algorithm 2 lists neither labeled images nor a step of the
    discriminator, while its Eqs. 3 and 5 have both; here they are switches. Without a discriminator every pseudo-label
    is trusted. An epoch has as many iterations as the longer loader has batches; where the loader of its phase is the
    shorter one, the last of them are empty. Once phase 2 is validated, weights of phase 1 are kept no more. The method
    ``supervised`` takes as many steps in an epoch of phase 2, on labeled batches alone, so that it compares with the
    others epoch by epoch.

    ``state`` holds ``phase``, ``gamma`` and ``trusted_images``, the images of the epoch so far with a trusted mask
    (with pixel-wise confidence the share of trusted pixels), ``trusted_over_gamma``, what they would be at each of
    :data:`~bus_monai.losses.mutual_supervision.GAMMAS`, and ``judged_images``, of how many. The output of an iteration
    has MONAI's keys, and the mean realism in [0, 1] of real and predicted masks as ``realism_real`` and
    ``realism_fake``.

    Args:
        device: where the networks are.
        max_epochs: epochs in all; the paper's 700.
        labeled_loader: yields batches with ``image`` (B, 1, H, W) in [0, 1] and ``label`` (B, 1, H, W) in {0, 1}.
        unlabeled_loader: yields batches with ``image`` of the same size; ``None`` for the method ``supervised`` alone.
        generators: one or two, (B, 1, H, W) to logits (B, 1, H, W).
        phases: what is learned from in each of them, and how long the first is.
        discriminator: (B, 1, H, W) masks to a map of logits; ``None`` without an adversary.
        losses: the terms of the paper, with gamma and the confidence.
        weights: ``adversarial``, ``adversarial_unlabeled`` and ``semi``, factors beside the cross-entropy's 1.
        updates: gradient clipping, learning rates and precision.
        seed: of shuffling and augmentation.
        train_handlers: Ignite handlers.

    Raises:
        UserError: parts that do not go together.

    Example:
        >>> from bus_monai.trainers.parts import learners
        >>> images = [{"image": torch.rand(1, 8, 8)} for _ in range(4)]
        >>> labeled = [{"image": torch.rand(1, 8, 8), "label": torch.ones(1, 8, 8)} for _ in range(2)]
        >>> generators = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(2)]
        >>> critic = nn.Conv2d(1, 1, 4, stride=2, padding=1)
        >>> trainer = MutualSupervisionTrainer(
        ...     device="cpu",
        ...     max_epochs=2,
        ...     labeled_loader=DataLoader(labeled, batch_size=2),
        ...     unlabeled_loader=DataLoader(images, batch_size=2),
        ...     generators=learners(generators, [torch.optim.Adam(g.parameters(), 1e-3) for g in generators]),
        ...     discriminator=Learner(network=critic, optimizer=torch.optim.Adam(critic.parameters(), 1e-4)),
        ...     phases=TwoPhases(phase1_epochs=1),
        ... )
        >>> trainer.run()
        >>> trainer.stage
        'phase 2'
    """

    def __init__(
        self,
        *,
        device: str | torch.device,
        max_epochs: int,
        labeled_loader: DataLoader[Any],
        unlabeled_loader: DataLoader[Any] | None,
        generators: Sequence[Learner],
        phases: TwoPhases,
        discriminator: Learner | None = None,
        losses: MutualSupervision | None = None,
        weights: Mapping[str, float] | None = None,
        updates: Updates | None = None,
        seed: int = 0,
        train_handlers: Sequence[Any] = (),
    ) -> None:
        self.generators, self.discriminator = tuple(generators), discriminator
        self.phases = phases
        self._check()
        self._check_loader(unlabeled_loader)
        self.kept_after = 0 if phases.method == "supervised" else phases.phase1_epochs
        if max_epochs <= self.kept_after:
            logger.warning("No unlabeled image is seen: max_epochs is not above phase1_epochs, %d.", self.kept_after)
        self.epochs = SeededEpochs(labeled_loader, seed=seed)
        self.unlabeled_epochs = None
        if unlabeled_loader is not None and self.unlabeled_batches:
            self.unlabeled_epochs = SeededEpochs(unlabeled_loader, seed=seed)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=EpochData(self),
            epoch_length=max(len(labeled_loader), self.unlabeled_batches),
            prepare_batch=prepare_plain_batch,
            decollate=False,
        )
        self._set_up(seed=seed, updates=updates or Updates())
        self.losses = losses or MutualSupervision()
        self.weights = DEFAULT_WEIGHTS | dict(weights or {})
        self.g_scalers = tuple(self._make_scaler() for _ in self.generators)
        self.d_scaler = self._make_scaler()
        self.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        self._register_handlers(train_handlers)

    def _check(self) -> None:
        count, phases = len(self.generators), self.phases
        if count not in (1, 2):
            raise UserError(f"There are {count} generators: give one or two.")
        if phases.method == "hung" and (count != 1 or self.discriminator is None):
            raise UserError("The method 'hung' has one generator and a discriminator: set num_generators to 1.")
        if phases.method == "supervised" and self.discriminator is not None:
            raise UserError("The method 'supervised' has no discriminator: set use_discriminator to false.")
        if not phases.phase2_use_labeled and phases.phase2_update_d and self.discriminator is not None:
            raise UserError(
                "phase2_update_d needs the real masks of labeled images: set phase2_use_labeled to true, or "
                "phase2_update_d to false."
            )
        alone = count == 1 and self.discriminator is None
        if not phases.phase2_use_labeled and (phases.method == "supervised" or alone):
            raise UserError("Without labeled images phase 2 has nothing to learn: set phase2_use_labeled to true.")

    def _check_loader(self, unlabeled: DataLoader[Any] | None) -> None:
        self.unlabeled_batches = 0 if unlabeled is None else len(unlabeled)
        if self.phases.method != "supervised" and not self.unlabeled_batches:
            raise UserError(
                f"The method {self.phases.method!r} learns from unlabeled images, and there is no batch of them: add "
                "a section 'unlabeled' to the data set, give a labeled_fraction below 1, or set method to supervised."
            )

    @property
    def uses_unlabeled(self) -> bool:
        """Whether the current epoch sees unlabeled images."""
        return self.phase == 2 and self.phases.method != "supervised"

    @property
    def phase(self) -> int:
        """Phase of the current epoch, 1 or 2."""
        return 1 if self.state.epoch <= self.phases.phase1_epochs else 2

    @property
    def stage(self) -> str:
        """``phase 1`` or ``phase 2``."""
        return f"phase {self.phase}"

    @property
    def stage_end(self) -> int:
        """Last epoch of the current phase."""
        last: int = self.state.max_epochs
        return min(self.phases.phase1_epochs, last) if self.phase == 1 else last

    def _start_epoch(self) -> None:
        self.state.phase, self.state.gamma = self.phase, self.losses.gamma
        self.state.trusted_images = torch.zeros((), device=self.state.device)
        self.state.judged_images = 0
        self.state.trusted_over_gamma = torch.zeros(len(GAMMAS), device=self.state.device)

    def epoch_iterations(self) -> Iterator[SemiSupervisedBatches]:
        """Yield the batches of each iteration of the current epoch."""
        labeled, unlabeled = self.epochs.passes(self.state.epoch), None
        if self.uses_unlabeled:
            assert self.unlabeled_epochs is not None
            unlabeled = self.unlabeled_epochs.passes(self.state.epoch)
        elif self.phase == 2 and self.unlabeled_batches:
            labeled = iter([islice(chain.from_iterable(labeled), self.unlabeled_batches)])
        known = labeled if unlabeled is None or self.phases.phase2_use_labeled else None
        return semi_supervised_batches(known, unlabeled, length=self.state.epoch_length)

    def _iteration(self, engine: Trainer, batchdata: SemiSupervisedBatches) -> dict[str, Any]:
        """Take a step of each generator and of the discriminator; losses are detached scalars."""
        # handlers and events read the output while it grows
        output: dict[str, Any] = {}
        self.state.output = output
        images, mask = [], None
        if batchdata.labeled is not None:
            image, mask = self.prepare_batch(batchdata.labeled, self.state.device, self.non_blocking)
            images.append(image)
            output.update({Keys.LABEL: mask, AdversarialKeys.REALS: mask})
        if batchdata.unlabeled is not None:
            images.append(prepare_plain_image(batchdata.unlabeled, self.state.device, self.non_blocking))
        if images:
            output[Keys.IMAGE] = torch.cat(images)
            logits = self._generator_steps(output[Keys.IMAGE], mask)
            if mask is not None and (self.phase == 1 or self.phases.phase2_update_d):
                known = len(mask) if self.phases.method == "hung" else len(output[Keys.IMAGE])
                self._discriminator_step(mask, [fake[:known].sigmoid() for fake in logits])
        return output

    def _generator_steps(self, image: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Update the generators; return their detached logits from before, labeled images first."""
        output, known = self.state.output, 0 if mask is None else len(mask)
        logits = self._predict(image, known)
        output[Keys.PRED] = output[AdversarialKeys.FAKES] = torch.stack(logits).detach().mean(dim=0)
        self.fire_event(AdversarialIterationEvents.GENERATOR_FORWARD_COMPLETED)

        zero = torch.zeros((), device=image.device)
        supervised = [
            zero if mask is None else nn.functional.binary_cross_entropy_with_logits(z[:known], mask) for z in logits
        ]
        if self.phases.separate_ce_step and self.phase == 1 and self.discriminator is not None:
            self._learn(supervised)
            supervised = [loss.detach() for loss in supervised]
            logits = self._predict(image, known)
        realism = self._realism([z.sigmoid() for z in logits])
        adversarial = [self._adversarial(scores, known) for scores in realism]
        semi = self._semi([z[known:] for z in logits], [scores[known:].detach() for scores in realism])
        terms = (supervised, adversarial or [zero] * len(logits), semi or [zero] * len(logits))
        losses = [ce + adv + self.weights["semi"] * pseudo for ce, adv, pseudo in zip(*terms, strict=True)]
        names = (AdversarialKeys.RECONSTRUCTION_LOSS, AdversarialKeys.GENERATOR_LOSS, SEMI_LOSS, Keys.LOSS)
        for name, values in zip(names, (*terms, losses), strict=True):
            output[name] = torch.stack(values).detach().mean()
        self.fire_event(AdversarialIterationEvents.GENERATOR_LOSS_COMPLETED)

        self._learn(losses)
        self.fire_event(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED)
        return [z.detach() for z in logits]

    def _predict(self, image: Tensor, known: int) -> list[Tensor]:
        """Return each generator's logits, of the ``known`` labeled images first."""
        # apart: in one batch, batch norm ties labeled images to unlabeled ones, and test images see neither
        parts = [part for part in torch.split(image, [known, len(image) - known]) if len(part)]
        networks = [generator.network for generator in self.generators]
        for network in networks:
            network.train()
        with self._forward_pass():
            return [torch.cat([network(part) for part in parts]).float() for network in networks]

    def _learn(self, losses: Sequence[Tensor]) -> None:
        """Take a step of each generator down its own loss."""
        for generator, scaler, loss in zip(self.generators, self.g_scalers, losses, strict=True):
            generator.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(scaler.scale(loss))
            self._update(generator.network, generator.optimizer, scaler)

    def _realism(self, masks: Sequence[Tensor]) -> list[Tensor]:
        """Return the discriminator's logits of each generator's masks in [0, 1]; none without a discriminator."""
        if self.discriminator is None:
            return []
        with frozen(plain(self.discriminator.network)) as critic, self._forward_pass():
            return [critic(mask).float() for mask in masks]

    def _adversarial(self, scores: Tensor, known: int) -> Tensor:
        """Weigh the adversarial losses on labeled images, the first ``known``, and on the others."""
        shares = (("adversarial", scores[:known]), ("adversarial_unlabeled", scores[known:]))
        parts = [self.weights[name] * self.losses.adversarial_loss(part) for name, part in shares if len(part)]
        return torch.stack(parts).sum()

    def _semi(self, logits: Sequence[Tensor], realism: Sequence[Tensor]) -> list[Tensor]:
        """Return each generator's loss against the masks of its teacher; none where nobody teaches."""
        if len(logits[0]) == 0 or (len(logits) == 1 and self.phases.method != "hung"):
            return []
        if self.phases.hard_scores:
            with torch.no_grad():
                realism = self._realism([(z > 0).to(z.dtype) for z in logits])
        size = logits[0].shape[2:]
        sure = [self.losses.confidences(scores, size) for scores in realism] or [torch.ones_like(z) for z in logits]
        trusted = [(confidence > self.losses.gamma).to(logits[0].dtype) for confidence in sure]
        # an image counts once, whichever generator is trusted on it
        surest = torch.stack(sure).amax(dim=0)
        counts = [(surest > gamma).float().mean(dim=(1, 2, 3)).sum() for gamma in (self.losses.gamma, *GAMMAS)]
        self.state.judged_images += len(surest)
        self.state.trusted_images += counts[0]
        self.state.trusted_over_gamma += torch.stack(counts[1:])
        teachers = reversed(range(len(logits)))
        return [self.losses.semi_loss(z, logits[t], trusted[t]) for z, t in zip(logits, teachers, strict=True)]

    def _discriminator_step(self, mask: Tensor, fakes: Sequence[Tensor]) -> None:
        if self.discriminator is None:
            return
        output, d = self.state.output, self.discriminator
        if self.phases.binarized_fakes:
            fakes = [torch.cat([fake, (fake > 0.5).to(fake.dtype)]) for fake in fakes]
        d.network.train()
        d.optimizer.zero_grad(set_to_none=True)
        with self._forward_pass():
            scores = d.network(torch.cat([mask, *fakes])).float()
        real, *fake = scores.split([len(mask), *(len(one) for one in fakes)])
        output[REALISM_REAL] = real.detach().sigmoid().mean()
        output[REALISM_FAKE] = torch.cat(fake).detach().sigmoid().mean()
        loss = self.losses.discriminator_loss(real, fake)
        output[AdversarialKeys.DISCRIMINATOR_LOSS] = loss.detach()
        self.fire_event(AdversarialIterationEvents.DISCRIMINATOR_LOSS_COMPLETED)
        torch.autograd.backward(self.d_scaler.scale(loss))
        self._update(d.network, d.optimizer, self.d_scaler)
        self.fire_event(AdversarialIterationEvents.DISCRIMINATOR_MODEL_COMPLETED)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a run where ``state_dict`` left it, in either phase.

        Raises:
            UserError: the state is of other networks.
        """
        super().load_state_dict(state_dict)
        if self.unlabeled_epochs is not None:
            self.unlabeled_epochs.seed = self.state.seed

    def _stateful_parts(self) -> Iterator[tuple[str, Any]]:
        for i, (generator, scaler) in enumerate(zip(self.generators, self.g_scalers, strict=True), start=1):
            yield f"g{i}_network", plain(generator.network)
            yield f"g{i}_optimizer", generator.optimizer
            yield f"g{i}_scaler", scaler
        if self.discriminator is not None:
            yield "d_network", plain(self.discriminator.network)
            yield "d_optimizer", self.discriminator.optimizer
            yield "d_scaler", self.d_scaler
