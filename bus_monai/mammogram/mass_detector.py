"""From a mammogram to the frames of its masses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bus_monai.detection.box_frame import box_frame
from bus_monai.detection.default_boxes import default_boxes
from bus_monai.detection.find_boxes import LEAST_SCORE, MOST_OVERLAP, find_boxes
from bus_monai.engines.prepare_batch import plain_tensor
from bus_monai.errors import UserError
from bus_monai.networks.detectors import split_output
from bus_monai.transforms.frames import Frame


class FoundMass(NamedTuple):
    """A mass that was found: its frame in whole pixels of the source image, and its probability in [0, 1]."""

    frame: Frame
    score: float


class MassDetector:
    """Find the masses of a mammogram of any size.

    Args:
        network: (B, 1, 300, 300) to (B, 6, 8732), see :func:`~bus_monai.networks.detectors.make_detector`; is moved to
            ``device`` and put into evaluation mode.
        resize: dictionary transform that brings ``image`` to the size of the network, the one of training.
        device: where the network runs.
        score_threshold: probability in [0, 1] from which on a mass counts.
        nms_threshold: IoU in [0, 1] above which the less probable of two masses is dropped.

    Raises:
        UserError: a threshold outside [0, 1].
    """

    def __init__(
        self,
        network: nn.Module,
        resize: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        *,
        device: str | torch.device = "cpu",
        score_threshold: float = LEAST_SCORE,
        nms_threshold: float = MOST_OVERLAP,
    ) -> None:
        for name, value in (("score_threshold", score_threshold), ("nms_threshold", nms_threshold)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} is {value}: give a number from 0 to 1.")
        self.network = network.to(device).eval()
        self.resize = resize
        self.device = device
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.defaults = default_boxes().to(device)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[FoundMass]:
        """Return the masses of an image (1, H, W) in [0, 1] at source size, the most probable first."""
        height, width = image.shape[1:]
        small = plain_tensor(self.resize({"image": image})["image"])
        offsets, logits = split_output(self.network(small[None].to(self.device)))
        (found,) = find_boxes(
            offsets, logits, self.defaults, least_score=self.score_threshold, most_overlap=self.nms_threshold
        )
        frames = [box_frame(box, (height, width)) for box in found.boxes]
        return [FoundMass(frame, score) for frame, score in zip(frames, found.scores.tolist(), strict=True)]
