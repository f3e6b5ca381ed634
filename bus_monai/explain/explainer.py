"""A segmenter with the methods that explain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.post.dictionary import Invertd
from numpy.typing import NDArray
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.run import inference_parser
from bus_monai.errors import UserError
from bus_monai.explain.attention_maps import attention_maps, has_attention
from bus_monai.explain.explanation import EXPLAIN_METHODS, ExplainItem, Explanation, ExplanationMap
from bus_monai.explain.saliency import SegmentationCam, choose_layer, occlusion_map
from bus_monai.explain.uncertainty import augmentation_uncertainty, dropout_uncertainty, has_dropout
from bus_monai.io.image import read_masks
from bus_monai.networks.wrappers import Ensemble
from bus_monai.sources.read import read_source
from bus_monai.transforms.chain import chain


class Explainer:
    """Explain what a segmenter makes of an image.

    Args:
        network: (B, 1, H, W) in [0, 1] to logits (B, 1, H, W); put into evaluation mode.
        preprocessing: of an item with ``image`` (path) and ``frame`` to the network's input (1, h, w).
        inverse: of the item with ``pred`` (1, h, w), back to the size of the source, 0 where the network saw nothing.
        size: h and w of that input in pixels.
        threshold: from which probability on a pixel is lesion.
        methods: some of :data:`~bus_monai.explain.explanation.EXPLAIN_METHODS`; ``None`` for all that the network has.
        layer: for Grad-CAM, see :func:`~bus_monai.explain.saliency.choose_layer`.
        samples: passes with dropout.

    Raises:
        UserError: there is no such layer, the network lacks what a method shows, or it is an ensemble.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        inverse: Callable[[dict[str, Any]], dict[str, Any]],
        size: Sequence[int],
        threshold: float = 0.5,
        methods: Sequence[str] | None = None,
        layer: str | None = None,
        samples: int = 20,
    ) -> None:
        if isinstance(network, Ensemble):
            raise UserError("An ensemble has no layers of its own: explain its networks one by one, each by its file.")
        self.network = network.eval()
        self.preprocessing = preprocessing
        self.inverse = inverse
        self.threshold = threshold
        self.samples = samples
        self.methods = _available(network, methods)
        self.layer = choose_layer(network, size, layer)
        self._cam = SegmentationCam(network, self.layer)

    @classmethod
    def load(
        cls,
        model: TrainedModel,
        *,
        methods: Sequence[str] | None = None,
        layer: str | None = None,
        samples: int = 20,
    ) -> Explainer:
        """Build it from the ``inference.json`` of a bundle.

        Args:
            model: a segmenter.
            methods: as above.
            layer: as above.
            samples: as above.

        Raises:
            UserError: as above, or the weights are missing, broken or of another network.
        """
        content = inference_parser(model).get_parsed_content
        return cls(
            content("network"),
            preprocessing=content("preprocessing"),
            inverse=chain([step for step in content("after_network").transforms if isinstance(step, Invertd)]),
            size=content("settings#image_size"),
            threshold=content("settings#threshold"),
            methods=methods,
            layer=layer,
            samples=samples,
        )

    def __call__(self, item: ExplainItem) -> Explanation:
        """Explain an image; the network sees it at once, as the bundle's preprocessing leaves it, which may crop it.

        Raises:
            UserError: image or mask cannot be read, or a mask has another size.
        """
        source = read_source(item.source, item.frame).pixels
        truth = None if item.masks is None else read_masks(item.masks, source.shape)
        loaded = self.preprocessing({"image": str(item.source), "frame": item.frame})
        seen = loaded["image"].as_tensor()[None].to(next(self.network.parameters()).device)
        with torch.no_grad():
            probability = self._at_source(self.network(seen).sigmoid()[0, 0], loaded)
        maps = [
            ExplanationMap(method, layer, values.numpy() if values.ndim == 1 else self._at_source(values, loaded))
            for method in self.methods
            for layer, values in self._maps(method, seen)
        ]
        covered = self._at_source(torch.ones(seen.shape[2:]), loaded) > 0
        return Explanation(source, truth, probability >= self.threshold, maps, covered)

    def _at_source(self, values: Tensor, loaded: dict[str, Any]) -> NDArray[np.float32]:
        """Undo the preprocessing of an item, (h, w) to (H, W)."""
        # MONAI leaves a plain tensor as it is where it would invert a MetaTensor
        item = self.inverse(loaded | {"pred": MetaTensor(values[None].float().cpu())})
        return np.asarray(item["pred"].as_tensor()[0])

    def _maps(self, method: str, seen: Tensor) -> Iterator[tuple[str, Tensor]]:
        if method in ("grad_cam", "grad_cam_pp"):
            yield self.layer, self._cam(seen, plus_plus=method == "grad_cam_pp")
        elif method == "occlusion":
            yield "", occlusion_map(self.network, seen)
        elif method == "attention":
            yield from ((one.block, one.values) for one in attention_maps(self.network, seen))
        elif method == "dropout":
            yield "", dropout_uncertainty(self.network, seen, samples=self.samples)
        else:
            yield "", augmentation_uncertainty(self.network, seen)


def _available(network: nn.Module, wanted: Sequence[str] | None) -> tuple[str, ...]:
    lacking = {}
    if not has_attention(network):
        lacking["attention"] = "no attention block"
    if not has_dropout(network):
        lacking["dropout"] = "no dropout"
    for method in wanted or ():
        if method in lacking:
            raise UserError(f"--methods has '{method}', but the network has {lacking[method]}: leave it out.")
    return tuple(method for method in wanted or EXPLAIN_METHODS if method not in lacking)
