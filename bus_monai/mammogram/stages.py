"""The stages of the mammogram system: detector, segmenter and shape classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import INFERENCE_CONFIG
from bus_monai.bundle.run import inference_parser
from bus_monai.detection.boxes import MAX_OVERLAP, MIN_SCORE, default_boxes, find_boxes
from bus_monai.detection.ssd import split_output
from bus_monai.errors import UserError, check_number
from bus_monai.geometry.box import Box, tight_box
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.trainers.batches import plain_tensor
from bus_monai.transforms.load import crop_gray, crop_mass


def load_stage(model: TrainedModel) -> Any:
    """Build what the ``inference.json`` of a bundle calls ``stage``, with the model's weights.

    Raises:
        UserError: the bundle is no stage, or the weights are missing, broken or of another network.
    """
    parser = inference_parser(model)
    if "stage" not in parser.get():
        raise UserError(
            f"The bundle '{model.bundle.name}' is no stage of the mammogram system: its {INFERENCE_CONFIG} has none."
        )
    return parser.get_parsed_content("stage")


class FoundMass(NamedTuple):
    """A mass that was found: its box in whole pixels of the source image, and its probability in [0, 1]."""

    box: Box
    score: float


class MassDetector:
    """Find the masses of a mammogram of any size.

    Args:
        network: (B, 1, 300, 300) to (B, 6, 8732), see :func:`~bus_monai.detection.ssd.make_detector`; is moved to
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
        score_threshold: float = MIN_SCORE,
        nms_threshold: float = MAX_OVERLAP,
    ) -> None:
        for name, value in (("score_threshold", score_threshold), ("nms_threshold", nms_threshold)):
            check_number(name, value, at_least=0, at_most=1)
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
            offsets, logits, self.defaults, min_score=self.score_threshold, max_overlap=self.nms_threshold
        )
        boxes = [Box.from_shares(box, (height, width)) for box in found.boxes.tolist()]
        return [FoundMass(box, score) for box, score in zip(boxes, found.scores.tolist(), strict=True)]


class MassInferer(Inferer):
    """Give each image of a batch (B, 1, H, W) to a detector, which brings its own network.

    Args:
        detector: of one image.
    """

    def __init__(self, detector: MassDetector) -> None:
        super().__init__()
        self.detector = detector

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> list[list[FoundMass]]:
        """Return the masses of each image."""
        return [self.detector(image) for image in inputs]


class MassSegmenter:
    """Crop around a box, segment the crop, and put its mask back to its place.

    Args:
        network: from crops (B, 1, h, w) in [0, 1] to logits of their size; put into evaluation mode.
        preprocessing: of an item with ``image`` (1, H, W) and, where there is one, ``box``, to the network's input.
        postprocessing: of the item with ``pred``, the network's logits (1, h, w), to values in [0, 1], (1, H, W).
        threshold: from which value on a pixel is mass.
        device: where the network computes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        postprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        threshold: float = 0.5,
        device: str | torch.device = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.preprocessing = preprocessing
        self.postprocessing = postprocessing
        self.threshold = threshold
        self.device = torch.device(device)

    def __call__(self, image: Tensor, box: Box | None = None) -> Tensor:
        """Segment the mass in ``box``.

        Args:
            image: (1, H, W), values in [0, 1], the size of the source.
            box: around the mass, in whole pixels of the image; ``None`` takes the whole image as the crop.

        Returns:
            bool (1, H, W) on the CPU; no pixel outside the crop is set.

        Raises:
            UserError: the box has no pixel inside the image.
            ValueError: the image has another shape.
        """
        if image.ndim != 3 or image.shape[0] != 1:
            raise ValueError(f"image must have the shape (1, H, W), got {tuple(image.shape)}.")
        item: dict[str, Any] = {"image": MetaTensor(image.detach().cpu().float())}
        if box is not None:
            # here, since what a transform raises reaches the caller as a RuntimeError of MONAI's
            item["box"] = torch.tensor(tight_box(box, image.shape[1:]).sides)
        item = self.preprocessing(item)
        with torch.no_grad():
            logits = self.network(item["image"].as_tensor()[None].to(self.device))[0]
        # MONAI leaves a plain tensor as it is where it would invert a MetaTensor
        item["pred"] = MetaTensor(logits.float().cpu())
        probability: Tensor = self.postprocessing(item)["pred"].as_tensor()
        return probability >= self.threshold


class ShapeClassifier:
    """Tell the shape of one mass.

    Args:
        network: (B, 1, 64, 64), or (B, 2, 64, 64) with ``gray_values``, to logits (B, 4), with its weights; it is put
            into evaluation mode.
        device: where it runs.
        gray_values: whether the network sees the image too, in its second channel.
    """

    def __init__(self, network: nn.Module, device: str | torch.device = "cpu", *, gray_values: bool = False) -> None:
        self.gray_values = gray_values
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()

    @torch.no_grad()
    def __call__(self, mask: Tensor, image: Tensor | None = None) -> dict[str, float]:
        """Return the probability of irregular, lobular, oval and round.

        Args:
            mask: (1, H, W) bool, one mass, of any size.
            image: (1, H, W), values in [0, 1]; needed with ``gray_values`` alone.

        Raises:
            UserError: the mask is empty, or the image is needed and not given.
        """
        seen = [crop_mass(mask)]
        if self.gray_values:
            if image is None:
                raise UserError(
                    "The network of shapes sees gray values: give the image beside the mask.", key="gray_values"
                )
            seen.append(crop_gray(image, mask))
        logits = self.network(torch.cat(seen)[None].to(self.device))[0]
        return dict(zip(SHAPE_CLASSES, logits.double().softmax(dim=0).tolist(), strict=True))
