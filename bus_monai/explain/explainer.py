"""A segmenter with the methods that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from monai.transforms.post.dictionary import Invertd
from numpy.typing import NDArray
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel
from bus_monai.bundle.registry import input_modality
from bus_monai.bundle.run import BundleParts, bundle_parts
from bus_monai.errors import UserError
from bus_monai.explain.attention_maps import attention_maps, has_attention
from bus_monai.explain.explanation import EXPLAIN_METHODS, ExplainItem, Explanation, ExplanationMap
from bus_monai.explain.saliency import SegmentationCam, choose_layer, occlusion_map
from bus_monai.explain.uncertainty import augmentation_uncertainty, dropout_uncertainty, has_dropout
from bus_monai.geometry.box import Box, Region, only_inside
from bus_monai.inference.backends.chain import images_of_screen
from bus_monai.inference.backends.torch import inverted, prepared
from bus_monai.io.gray import check_signal
from bus_monai.io.image import read_masks
from bus_monai.networks.wrappers import Ensemble
from bus_monai.sources.read import read_source
from bus_monai.transforms.chain import chain
from bus_monai.transforms.crop import crops_to_region
from bus_monai.transforms.image_region import find_regions

_Name: TypeAlias = tuple[str, str]  # method and layer
_PROBABILITY, _COVERED = ("probability", ""), ("covered", "")


class Explainer:
    """Explain what a segmenter makes of an image.

    Args:
        parts: of its bundle; the network is put into evaluation mode.
        ultrasound: whether images are screens of ultrasound, of which all else is left out.
        methods: some of :data:`~bus_monai.explain.explanation.EXPLAIN_METHODS`; ``None`` for all that the network has.
        layer: for Grad-CAM, see :func:`~bus_monai.explain.saliency.choose_layer`.
        samples: passes with dropout.

    Raises:
        UserError: there is no such layer, the network lacks what a method shows, or it is an ensemble.
    """

    def __init__(
        self,
        parts: BundleParts,
        *,
        ultrasound: bool = True,
        methods: Sequence[str] | None = None,
        layer: str | None = None,
        samples: int = 20,
    ) -> None:
        if isinstance(parts.network, Ensemble):
            raise UserError("An ensemble has no layers of its own: explain its networks one by one, each by its file.")
        self.network = parts.network.eval()
        self.threshold = float(parts.settings["threshold"])
        self.samples = samples
        self.methods = _available(self.network, methods)
        self.layer = choose_layer(self.network, parts.size, layer)
        self._parts = parts
        self._ultrasound = ultrasound
        self._crops = crops_to_region(parts.before)
        self._inverse = chain([step for step in parts.after.transforms if isinstance(step, Invertd)])
        self._cam = SegmentationCam(self.network, self.layer)

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
        ultrasound = input_modality(model.bundle) == "US"
        return cls(bundle_parts(model), ultrasound=ultrasound, methods=methods, layer=layer, samples=samples)

    def __call__(self, item: ExplainItem) -> Explanation:
        """Explain an image as it is segmented, with black where the screen shows something else than ultrasound.

        The network sees it at once, not by tiles; where the bundle crops, each of a screen's images alone.

        Raises:
            UserError: image or mask cannot be read, a mask has another size, or the image holds no signal.
        """
        source = read_source(item.source, item.frame)
        truth = None if item.masks is None else read_masks(item.masks, source.pixels.shape)
        check_signal(item.source, bool(source.pixels.any()))
        whole = (Region(Box.of_image(source.pixels.shape)),)
        regions = find_regions(source.pixels, source.images) if self._ultrasound else whole
        shown = regions if self._crops else whole
        images = images_of_screen(only_inside(regions, source.pixels), shown)
        found = [(region, self._explain(image)) for region, image in images]

        def on_screen(name: _Name) -> NDArray[np.float32]:
            screen = np.zeros(source.pixels.shape, dtype=np.float32)
            for region, arrays in found:
                np.copyto(screen[region.box.slices], arrays[name], where=region.where)
            return only_inside(regions, screen)

        first = found[0][1]
        maps = [
            # weights of channels are no picture: of several images their mean
            ExplanationMap(*name, on_screen(name) if first[name].ndim == 2 else _mean(one[name] for _, one in found))
            for name in first
            if name not in (_PROBABILITY, _COVERED)
        ]
        return Explanation(
            source.pixels, truth, on_screen(_PROBABILITY) >= self.threshold, maps, on_screen(_COVERED) > 0
        )

    def _explain(self, image: NDArray[np.float32]) -> dict[_Name, NDArray[np.float32]]:
        """Return the probability, what the network saw, and the maps of an image (h, w), by method and layer."""
        item = prepared(self._parts.before, image)
        seen = item["image"].as_tensor()[None].to(self._parts.device)
        with torch.no_grad():
            logits = self.network(seen)[0]
        found = {
            _PROBABILITY: inverted(self._parts.after, item, logits),
            _COVERED: inverted(self._inverse, item, torch.ones_like(seen[0])),
        }
        for method in self.methods:
            for layer, values in self._maps(method, seen):
                found[method, layer] = (
                    values.numpy() if values.ndim == 1 else inverted(self._inverse, item, values[None])
                )
        return found

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


def _mean(arrays: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.asarray(np.mean(list(arrays), axis=0, dtype=np.float32))


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
